"""What a model becomes before it is converted, and what its file says about itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_vit.data.images import spread
from keras_vit.data.values import values_of
from keras_vit.exporting.answers import limits_of
from keras_vit.exporting.attention_map import describe_attention, with_attention_map
from keras_vit.exporting.example_images import example_images
from keras_vit.exporting.image_preprocessing import ImagePreprocessing
from keras_vit.exporting.litert.mobile_profile import (
    mediapipe_warnings,
    mobile_changes,
    mobile_preprocessing,
    with_float16_norms,
    with_normalization,
)
from keras_vit.exporting.quantizations import FLOAT32
from keras_vit.exporting.request import ExportRequest, is_headless, is_yes_or_no
from keras_vit.exporting.saved_model.bytes_signature import (
    BYTES_SIGNATURE,
    bytes_warnings,
    why_no_bytes,
)
from keras_vit.exporting.verification_pictures import LazyPictures, Shown
from keras_vit.given_arrays import as_given, in_dtype
from keras_vit.keras_internals import all_layers
from keras_vit.metadata import FORMAT_VERSION
from keras_vit.model_copy import plain_copy
from keras_vit.model_preprocessing import preprocessing_of
from keras_vit.output_activation import output_activation, thresholds_of
from keras_vit.preprocessing import Preprocessing
from keras_vit.version import __version__

INPUT_NAME = "images"
_PREDICTED_AT_ONCE = 64
_LOOKED_AT = 16  # pictures whose values say what a set holds


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """What is converted, and what its file says about itself.

    Args:
        request: what is wanted.
        model: what is converted: float32; for pixels from these to probabilities.
        preprocessing: what an image goes through before the file takes it; None: the
            model does not say.
        metadata: what the file says about itself, JSON values.
        parts: the layers that hold matrices, "block_0/attention" for example, in order;
            a quantizer may treat each of them in its own way.
        changes: how the file differs from an export without a profile.
        warnings: what the file lacks because of the model.
    """

    request: ExportRequest
    model: keras.Model
    preprocessing: Preprocessing | None
    metadata: dict[str, Any]
    parts: tuple[str, ...]
    changes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def limits(self) -> np.ndarray | None:
        """From which output on the answer is yes, see `limits_of`."""
        return limits_of(self.metadata["output"])

    @property
    def output(self) -> str:
        """Name of the output: "logits", "probabilities" or "features"."""
        return self.metadata["output"]["name"]

    def picture(self, image: Any) -> np.ndarray:
        """Return a picture (a path, PIL image or array) as the file takes it."""
        shape, dtype = self.model.input_shape[1:], self.model.inputs[0].dtype
        if self.preprocessing is None:
            return as_given(image, shape, dtype)
        if not self.request.takes_pixels:
            return in_dtype(self.preprocessing.to_values(image), dtype)
        size = None if None in shape[:2] else shape[:2]
        return self.preprocessing.to_pixels(image, size)

    def check_values(self, pictures: Sequence[Any]) -> None:
        """Raise a ValueError if a set of arrays holds other values than expected."""
        if self.preprocessing is not None:
            numbers = map(int, spread(len(pictures), _LOOKED_AT))
            found = values_of(pictures[i] for i in numbers)
            self.preprocessing.check_unit(found is not None and found.is_unit)

    def shown(self, chosen: Shown) -> Shown:
        """Return pictures as the file takes them; those of calibration are already.

        Raises:
            ValueError: if a precision would be judged on digits of a model that does
                not say how pictures are preprocessed.
        """
        if chosen.source == "calibration":
            return chosen
        if chosen.source == "digits" and self.preprocessing is None:
            self._check_exact()
            pictures = example_images(self.model, list(chosen.pictures))
            return replace(chosen, pictures=pictures)
        if chosen.source != "digits":
            self.check_values(chosen.pictures)

        def prepared(index: int) -> np.ndarray:
            picture = chosen.pictures[index]
            if chosen.source == "digits":
                picture = _in_range(picture, self.preprocessing)
            return self.picture(picture)

        return replace(chosen, pictures=LazyPictures(len(chosen.pictures), prepared))

    def _check_exact(self) -> None:
        if self.request.quantization == FLOAT32:
            return
        raise ValueError(
            f"What {self.request.quantization} loses is looked at on pictures as the "
            "model takes them, and this model does not say how they are preprocessed. "
            "Set model.preprocessing = keras_vit.Preprocessing(...), or pass images= "
            f"as arrays of shape {self.model.input_shape[1:]}, or evaluation=."
        )

    def outputs(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Return what the model gives for pictures as the file takes them, (N, K)."""
        found: list[np.ndarray] = []
        for start in range(0, len(pictures), _PREDICTED_AT_ONCE):
            some = list(pictures[start : start + _PREDICTED_AT_ONCE])
            alike = len({picture.shape for picture in some}) == 1
            batches = [np.stack(some)] if alike else [one[None] for one in some]
            found += [self._predicted(batch) for batch in batches]
        return np.concatenate(found).astype("float32")

    def _predicted(self, batch: np.ndarray) -> np.ndarray:
        found: Any = self.model.predict(batch, verbose=0)  # pyright: ignore[reportArgumentType]
        return np.asarray(found["outputs"] if self.request.attention else found)


def prepare(model: keras.Model, request: ExportRequest) -> PreparedModel:
    """Return what is converted; the model stays as it is."""
    own: Preprocessing | None = preprocessing_of(model)
    preprocessing = mobile_preprocessing(own) if request.is_mobile else own
    converted = _in_float32(model)
    dtype = converted.inputs[0].dtype
    metadata = describe(model, request, preprocessing, dtype)
    activation = metadata["output"]["activation"]
    adds_probabilities = activation != output_activation(model)

    if request.is_mobile:
        converted = with_float16_norms(converted)
    if request.attention:
        converted = with_attention_map(converted)
    if own is not None and preprocessing != own:
        converted = with_normalization(converted, own)
    if adds_probabilities:
        converted = _with_probabilities(converted, activation)
    if own is not None and request.takes_pixels:
        converted = _from_pixels(converted, own, request.picture_size(model))
    changes = mobile_changes(
        normalization=preprocessing != own, probabilities=adds_probabilities
    )
    return PreparedModel(
        request=request,
        model=converted,
        preprocessing=preprocessing,
        metadata=metadata,
        parts=part_names(model),
        changes=changes if request.is_mobile else (),
        warnings=_warnings(model, request, preprocessing, dtype),
    )


def _warnings(
    model: keras.Model,
    request: ExportRequest,
    preprocessing: Preprocessing | None,
    dtype: str,
) -> tuple[str, ...]:
    """Return what the file lacks because of the model."""
    found: tuple[str, ...] = ()
    if request.row.bytes_signature:
        found += bytes_warnings(preprocessing, dtype)
    if request.is_mobile:
        found += mediapipe_warnings(
            preprocessing,
            channels=model.input_shape[-1],
            num_outputs=2 if request.attention else 1,
            num_classes=None if is_headless(model) else model.output_shape[-1],
        )
    return found


def describe(
    model: keras.Model,
    request: ExportRequest,
    preprocessing: Preprocessing | None,
    dtype: str = "float32",
) -> dict[str, Any]:
    """Return what a file says about itself, JSON values.

    Args:
        model: that is exported.
        request: what is wanted.
        preprocessing: what an image goes through before the file takes it.
        dtype: of the images that the converted model takes. Default "float32".
    """
    config = getattr(model, "config", None)
    activation = _activation(model, request)
    output = "logits" if activation is None else "probabilities"
    size, channels = request.picture_size(model), model.input_shape[-1]
    takes_pixels, has_bytes = request.takes_pixels, request.row.bytes_signature
    takes_bytes = has_bytes and why_no_bytes(preprocessing, dtype) is None
    return {
        "format_version": FORMAT_VERSION,
        "about": {"name": model.name, **request.about, "provenance": _provenance()},
        "input": {
            "name": INPUT_NAME,
            "shape": [request.batch, *size, channels],
            "dtype": "uint8" if takes_pixels else dtype,
            "values": "pixels" if takes_pixels else "preprocessed",
        },
        "output": {
            "name": "features" if is_headless(model) else output,
            "activation": activation,
            **_thresholds(model),
        },
        "attention": describe_attention(config) if request.attention else None,
        "bytes_signature": BYTES_SIGNATURE if takes_bytes else None,
        "quantization": request.quantization,
        "config": config and asdict(config),
        "preprocessing": preprocessing and asdict(preprocessing),
        "class_names": list(getattr(model, "class_names", None) or []),
    }


def _activation(model: keras.Model, request: ExportRequest) -> str | None:
    """Return the activation that a file ends with; None for logits and features."""
    activation = output_activation(model)
    if activation is None and request.wants_probabilities and not is_headless(model):
        is_softmax = model.output_shape[-1] > 1 and thresholds_of(model) is None
        return "softmax" if is_softmax else "sigmoid"
    return activation


def _thresholds(model: keras.Model) -> dict[str, Any]:
    """Return from which probability on the answer is yes, where there is a yes.

    `threshold` of a single output: from it on, the answer is the second class.
    `thresholds` of each class, where an image may have several.
    """
    found = None if is_headless(model) else thresholds_of(model)
    if is_yes_or_no(model):
        return {"threshold": found[0] if found else 0.5}
    return {} if found is None else {"thresholds": list(found)}


def _provenance() -> dict[str, str]:
    backend = keras.backend.backend()
    return {"keras3-vit": __version__, "Keras": f"{keras.__version__} ({backend})"}


def part_names(model: keras.Model) -> tuple[str, ...]:
    """Return the layers that hold matrices, in order."""
    kernels = (w.path for w in model.weights if w.path.endswith("/kernel"))
    return tuple(dict.fromkeys(path.rsplit("/", 2)[0] for path in kernels))


def _in_float32(model: keras.Model) -> keras.Model:
    # Mixed-precision graphs do not convert; the weights are float32 anyway.
    if "dtype" in model.get_config():
        return plain_copy(model, dtype="float32")
    if not any(map(_is_mixed, all_layers(model))):
        return model
    # A user's model says no dtype: its layers do.
    twin = plain_copy(model)
    for layer in filter(_is_mixed, all_layers(twin)):
        layer.dtype_policy = keras.DTypePolicy("float32")
    return twin


def _is_mixed(layer: keras.layers.Layer) -> bool:
    return layer.dtype_policy.name.startswith("mixed")


def _from_pixels(
    model: keras.Model,
    preprocessing: Preprocessing,
    size: tuple[int | None, int | None],
) -> keras.Model:
    pixels = keras.Input((*size, preprocessing.channels), dtype="uint8", name="images")
    layer = ImagePreprocessing(preprocessing, dtype="float32", name="preprocessing")
    return keras.Model(pixels, model(layer(pixels)), name=f"{model.name}_from_pixels")


def _with_probabilities(model: keras.Model, activation: str) -> keras.Model:
    images = keras.Input(
        model.input_shape[1:], dtype=model.inputs[0].dtype, name="images"
    )
    options: dict[str, Any] = {"dtype": "float32", "name": "probabilities"}
    layer = keras.layers.Softmax(**options)
    if activation == "sigmoid":
        layer = keras.layers.Activation("sigmoid", **options)
    name = f"{model.name}_with_probabilities"
    found: Any = model(images)
    if isinstance(found, dict):
        outputs: Any = {**found, "outputs": layer(found["outputs"])}
    else:
        outputs = layer(found)
    return keras.Model(images, outputs, name=name)


def _in_range(pixels: np.ndarray, preprocessing: Preprocessing | None) -> np.ndarray:
    """Return bytes as the values that arrays for the model have."""
    if preprocessing is None or preprocessing.value_range == (0.0, 255.0):
        return pixels
    low, high = preprocessing.value_range
    return low + pixels.astype("float32") * ((high - low) / 255)
