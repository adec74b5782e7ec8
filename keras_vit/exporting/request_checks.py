"""The checks of a request before any work: options, path, model and packages."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import keras

from keras_vit.exporting.attention_map import check_attention
from keras_vit.exporting.formats import FORMATS, check_modules
from keras_vit.exporting.loadable_layers import custom_objects
from keras_vit.exporting.quantizations import FLOAT32, QUANTIZATIONS
from keras_vit.exporting.request import (
    FLOAT,
    INPUTS,
    INTEGERS,
    PROFILES,
    ExportRequest,
    is_count,
    is_headless,
)
from keras_vit.files import check_replaceable
from keras_vit.keras_internals import all_layers
from keras_vit.model_preprocessing import preprocessing_of

# What a folder of a former export holds.
OWN_FILES = {
    "saved_model": (
        *("saved_model.pb", "fingerprint.pb", "variables", "assets"),
        *("keras_metadata.pb", "assets.extra"),
    ),
    "openvino": ("openvino_model.xml", "openvino_model.bin"),
}
# Of images: what NumPy and the runtimes know.
_DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8")


def check_request(
    request: ExportRequest, model: keras.Model, calibration: Any = None
) -> None:
    """Raise an error that says what does not fit, or which package is missing."""
    _check_model(model)
    check_path(request)
    _check_quantization(request, calibration)
    _check_batch(request.batch)
    _check_input(request, model)
    if request.attention:
        _check_attention(request, model)
    _check_model_size(request, model)
    if request.profile is not None:
        _check_profile(request, model)
    if request.probabilities and is_headless(model):
        raise ValueError(
            "probabilities=True is for classifiers, received a model with "
            "num_classes=None. Leave it out: the file gives features."
        )
    _check_about(request.about)
    check_modules(request.format, request.quantization)


def check_path(request: ExportRequest) -> None:
    """Raise an error if the file cannot have that path, or must not replace it."""
    path, row = request.path, request.row
    endings = {".keras", *(other.suffix for other in FORMATS.values())} - {""}
    if path.suffix != row.suffix and (row.suffix or path.suffix in endings):
        needed = f"end in {row.suffix}" if row.suffix else "be the name of a folder"
        raise ValueError(
            f"The path of a {request.format} export must {needed}, received "
            f"{str(path)!r}."
        )
    is_other_folder = path.is_dir() and (
        not row.marker or (any(path.iterdir()) and not (path / row.marker).is_file())
    )
    if is_other_folder:
        raise FileExistsError(
            f"{str(path)!r} is a folder that is no {request.format} export, and is "
            "never replaced. Choose another path."
        )
    if path.exists() and not request.overwrite:
        raise FileExistsError(
            f"{str(path)!r} exists. Choose another path, or replace it with "
            "overwrite=True (--overwrite)."
        )
    if row.marker:
        check_replaceable(path, OWN_FILES[request.format])


def check_thresholds(max_loss: float, tolerance: float = 0.0) -> None:
    """Raise a ValueError unless the one is a share and the other a number."""
    if not isinstance(tolerance, Real) or math.isnan(tolerance):
        raise ValueError(
            "tolerance must be a number, the largest difference that is accepted in "
            f"float32, relative to the largest output, received {tolerance=!r}. Leave "
            "it out for 1e-4."
        )
    if not isinstance(max_loss, Real) or not 0.0 <= max_loss < 1.0:
        raise ValueError(
            "max_loss must be a share of the images in [0, 1), such as 0.01 for one "
            f"point of accuracy, received max_loss={max_loss!r}. Accept any loss with "
            "accept_loss=True (--accept-loss)."
        )


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"model must be a keras.Model, received {type(model).__name__}. Open a "
            ".keras file with keras.saving.load_model(path)."
        )
    # Models that are neither functional nor Sequential have no such lists.
    inputs, outputs = (getattr(model, name, None) for name in ("inputs", "outputs"))
    shapes = [tuple(tensor.shape) for tensor in inputs or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or len(outputs or ()) != 1:
        raise ValueError(
            "A model is exported from images (B, H, W, C) to one output, received "
            f"{len(outputs or ())} outputs of inputs with the shapes {shapes}. Build "
            "it with keras.Model(images, output)."
        )
    dtype = model.inputs[0].dtype
    if dtype not in _DTYPES:
        raise ValueError(
            f"A model is exported that takes images in one of {[*_DTYPES]}, received "
            f"dtype={dtype!r}. Build it with keras.Input(..., dtype='float32')."
        )
    for layer in all_layers(model):
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                "A model that Keras has quantized does not convert, received "
                f"{layer.name!r} in {layer.quantization_mode}. Export the float "
                "model with quantization=... instead."
            )
    custom_objects(model)


def _check_quantization(request: ExportRequest, calibration: Any) -> None:
    valid = (FLOAT32, *request.row.quantizations)
    if request.quantization not in valid:
        raise ValueError(
            f"quantization of {request.format} must be one of {[*valid]}, received "
            f"quantization={request.quantization!r}."
        )
    needs = QUANTIZATIONS[request.quantization].needs_calibration
    if needs and calibration is None:
        raise ValueError(
            f"quantization={request.quantization!r} needs images that show which "
            "values occur, received none. Pass calibration= (--calibration), about "
            "100 pictures like those in use."
        )
    if calibration is not None and not needs:
        raise ValueError(
            "calibration is for a quantization that needs it, received "
            f"quantization={request.quantization!r}. Leave it out."
        )


def _check_batch(batch: int | None) -> None:
    if batch is not None and not is_count(batch):
        raise ValueError(
            "batch must be at least 1 and whole, or None for any number of images, "
            f"received batch={batch!r}."
        )


def _check_input(request: ExportRequest, model: keras.Model) -> None:
    if request.input not in INPUTS:
        raise ValueError(
            f"input must be one of {[*INPUTS]}, received input={request.input!r}."
        )
    request.picture_size(model)
    needed = INTEGERS.get(request.input, request.quantization)
    if request.quantization != needed:
        raise ValueError(
            f"input={request.input!r} is for LiteRT files with quantization="
            f"{needed!r}, received quantization={request.quantization!r}. Choose that "
            "precision, or leave input out."
        )
    if not request.takes_pixels:
        return
    preprocessing = preprocessing_of(model)
    if preprocessing is None:
        raise ValueError(
            "A file takes pixels if the model says how they are preprocessed, received "
            "a model without preprocessing. Set model.preprocessing = "
            "keras_vit.Preprocessing(...), or leave input='pixels' out."
        )
    if model.inputs[0].dtype != "float32":
        raise ValueError(
            "Preprocessing can be included in a model that takes float32, received one "
            f"that takes {model.inputs[0].dtype}. Leave input='pixels' out."
        )
    if preprocessing.value_range != (0.0, 255.0):
        raise ValueError(
            "Preprocessing can be included if pixels are bytes, received "
            f"value_range={preprocessing.value_range}. Export with input='float'."
        )


def _check_attention(request: ExportRequest, model: keras.Model) -> None:
    if QUANTIZATIONS[request.quantization].needs_calibration:
        raise ValueError(
            "attention=True is for precisions that compute the softmax in float, "
            f"received quantization={request.quantization!r}. Choose another, such as "
            "'dynamic_int8', or leave attention out."
        )
    check_attention(getattr(model, "config", None))


def _check_model_size(request: ExportRequest, model: keras.Model) -> None:
    row = request.row
    if not row.any_model_size:
        _check_one_size(model, f"A {request.format} file")
    needed = 4 * model.count_params()
    if row.max_bytes is not None and needed >= row.max_bytes:
        able = [name for name, other in FORMATS.items() if other.max_bytes is None]
        raise ValueError(
            f"A {request.format} file holds less than {row.max_bytes / 1e9:.1f} GB, "
            f"received a model of {needed / 1e9:.1f} GB. Use one of {able}."
        )


def _check_profile(request: ExportRequest, model: keras.Model) -> None:
    if request.profile not in PROFILES:
        raise ValueError(
            f"profile must be one of {[*PROFILES]}, received profile="
            f"{request.profile!r}. Leave it out for a file for the CPU."
        )
    for name, needed in {"format": "litert", "batch": 1, "input": FLOAT}.items():
        value = getattr(request, name)
        if value != needed:
            raise ValueError(
                f"profile='mobile' needs {name}={needed!r}, received "
                f"{name}={value!r}: a phone's GPU takes one float image at a time. "
                f"Leave {name} or the profile out."
            )
    _check_one_size(model, "profile='mobile'")


def _check_one_size(model: keras.Model, what: str) -> None:
    if None in model.input_shape[1:3]:
        raise ValueError(
            f"{what} needs a model for images of one size, received one with "
            "image_size=None. Fix the size first, with keras_vit.resize(model, "
            "image_size=...)."
        )


def _check_about(about: dict[str, str]) -> None:
    for name, text in about.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"{name} must be a text, received {name}={text!r}. Leave it out if "
                "there is nothing to say."
            )
