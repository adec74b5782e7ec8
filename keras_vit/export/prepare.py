"""What a model becomes before it is converted, and what it is compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import keras
import numpy as np

from keras_vit.export.attention import describe_attention
from keras_vit.export.encoded import BYTES_SIGNATURE, why_no_bytes
from keras_vit.export.evaluation import Lazy, Shown
from keras_vit.export.mobile import file_preprocessing, with_normalization
from keras_vit.export.request import MOBILE, ExportRequest
from keras_vit.keras_file import plain_copy
from keras_vit.layers.image_preprocessing import ImagePreprocessing
from keras_vit.metadata import FORMAT_VERSION
from keras_vit.outputs import output_activation
from keras_vit.preprocessing import Preprocessing
from keras_vit.version import __version__

INPUT_NAME = "images"


def exported_model(
    model: keras.Model, request: ExportRequest, size: tuple[int | None, int | None]
) -> keras.Model:
    """Return what is converted: float32; for pixels from these to probabilities."""
    found = _in_float32(model)
    own = getattr(model, "preprocessing", None)
    if own is not None and file_preprocessing(model, request) != own:
        found = with_normalization(found, own)
    if request.input == "pixels":
        preprocessing: Any = getattr(model, "preprocessing", None)
        found = _from_pixels(found, preprocessing, size)
    if exported_activation(model, request) != output_activation(model):
        found = _with_probabilities(found)
    return found


def exported_activation(model: keras.Model, request: ExportRequest) -> str | None:
    """Return the activation that a file ends with; None for logits and features."""
    activation = output_activation(model)
    is_mobile = request.profile == MOBILE
    wants_them = request.probabilities or request.input == "pixels" or is_mobile
    if wants_them and activation is None and not _is_headless(model):
        return "softmax" if model.output_shape[-1] > 1 else "sigmoid"
    return activation


def _is_headless(model: keras.Model) -> bool:
    config: Any = getattr(model, "config", None)
    return config is not None and config.num_classes is None


def part_names(model: keras.Model) -> list[str]:
    """Return the layers that hold matrices, "block_0/attention" for example, in order.

    A quantizer may treat each of them in its own way.
    """
    kernels = (w.path for w in model.weights if w.path.endswith("/kernel"))
    names = (path.rsplit("/", 2)[0] for path in kernels)
    return list(dict.fromkeys(names))


def _in_float32(model: keras.Model) -> keras.Model:
    # Mixed-precision graphs do not convert; the weights are float32 anyway.
    if "dtype" in model.get_config():
        return plain_copy(model, dtype="float32")
    if not any(map(_is_mixed, model._flatten_layers())):
        return model
    # A user's model says no dtype: its layers do.
    twin = plain_copy(model)
    for layer in filter(_is_mixed, twin._flatten_layers()):
        layer.dtype_policy = keras.DTypePolicy("float32")
    return twin


def _is_mixed(layer: keras.layers.Layer) -> bool:
    return layer.dtype_policy.name.startswith("mixed")


def _from_pixels(
    model: keras.Model,
    preprocessing: Preprocessing,
    size: tuple[int | None, int | None],
) -> keras.Model:
    options = asdict(preprocessing)
    for name in ("channels", "value_range", "transparency"):
        options.pop(name)
    pixels = keras.Input((*size, preprocessing.channels), dtype="uint8", name="images")
    x = ImagePreprocessing(**options, dtype="float32", name="preprocessing")(pixels)
    return keras.Model(pixels, model(x), name=f"{model.name}_from_pixels")


def _with_probabilities(model: keras.Model) -> keras.Model:
    images = keras.Input(model.input_shape[1:], dtype=model.input.dtype, name="images")
    options: dict[str, Any] = {"dtype": "float32", "name": "probabilities"}
    layer = keras.layers.Softmax(**options)
    if model.output_shape[-1] == 1:
        layer = keras.layers.Activation("sigmoid", **options)
    name = f"{model.name}_with_probabilities"
    return keras.Model(images, layer(model(images)), name=name)


def describe(
    model: keras.Model, exported: keras.Model, request: ExportRequest
) -> dict[str, Any]:
    """Return what the file says about itself, JSON values."""
    config = getattr(model, "config", None)
    preprocessing = file_preprocessing(model, request)
    activation = exported_activation(model, request)
    output = "logits" if activation is None else "probabilities"
    if _is_headless(model):
        output = "features"
    is_pixels = request.input == "pixels"
    return {
        "format_version": FORMAT_VERSION,
        "about": {"name": model.name, **request.about, "provenance": _provenance()},
        "input": {
            "name": INPUT_NAME,
            "shape": [request.batch, *exported.input_shape[1:]],
            "dtype": "uint8" if is_pixels else "float32",
            "values": "pixels" if is_pixels else "preprocessed",
        },
        "output": {"name": output, "activation": activation},
        "attention": describe_attention(config) if request.attention else None,
        "bytes_signature": bytes_signature(model, request),
        "quantization": request.quantization,
        "config": config and asdict(config),
        "preprocessing": preprocessing and asdict(preprocessing),
        "class_names": list(getattr(model, "class_names", None) or []),
    }


def bytes_signature(model: keras.Model, request: ExportRequest) -> str | None:
    """Return the name of the signature that takes image files; None: there is none."""
    fits = why_no_bytes(getattr(model, "preprocessing", None)) is None
    return BYTES_SIGNATURE if request.row.bytes_signature and fits else None


def _provenance() -> dict[str, str]:
    backend = keras.backend.backend()
    return {"keras3-vit": __version__, "Keras": f"{keras.__version__} ({backend})"}


def as_file_takes_them(
    images: Sequence[Any],
    preprocessing: Preprocessing | None,
    exported: keras.Model,
    request: ExportRequest,
) -> list[np.ndarray]:
    """Return pictures as the file takes them, one array each.

    Args:
        images: paths, PIL images or arrays.
        preprocessing: of the model.
        exported: what is converted.
        request: what is wanted.
    """
    height, width, channels = exported.input_shape[1:]
    if preprocessing is None:
        preprocessing = Preprocessing(image_size=(height, width), channels=channels)
    if request.input != "pixels":
        return [preprocessing(image) for image in images]
    size = None if height is None or width is None else (height, width)
    return [preprocessing.to_pixels(image, size) for image in images]


def shown_to_file(
    shown: Shown,
    preprocessing: Preprocessing | None,
    exported: keras.Model,
    request: ExportRequest,
) -> Shown:
    """Return pictures as the file takes them; those of calibration are so already."""
    if shown.source == "calibration":
        return shown

    def prepared(index: int) -> np.ndarray:
        picture = shown.pictures[index]
        if shown.source == "digits":
            picture = _in_range(picture, preprocessing)
        return as_file_takes_them([picture], preprocessing, exported, request)[0]

    return replace(shown, pictures=Lazy(len(shown.pictures), prepared))


def _in_range(pixels: np.ndarray, preprocessing: Preprocessing | None) -> np.ndarray:
    """Return bytes as the values that arrays for the model have."""
    if preprocessing is None or preprocessing.value_range == (0.0, 255.0):
        return pixels
    low, high = preprocessing.value_range
    return low + pixels.astype("float32") * ((high - low) / 255)
