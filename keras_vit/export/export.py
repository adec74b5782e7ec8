"""Export a model to SavedModel or LiteRT, from each backend, and verify the file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.digits import load_digits
from keras_vit.export.audit import check_ops
from keras_vit.export.child import convert, run
from keras_vit.export.request import (
    Format,
    InputSize,
    check_request,
    check_runtimes,
    resolve_input_size,
)
from keras_vit.files import check_writable, replacing
from keras_vit.layers.image_preprocessing import ImagePreprocessing
from keras_vit.metadata import (
    FORMAT_VERSION,
    append_tflite_metadata,
    write_saved_model_metadata,
)
from keras_vit.outputs import output_activation
from keras_vit.preprocessing import Preprocessing

INPUT_NAME = "images"
NUM_DEFAULT_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was exported and how it compares with the Keras model.

    Args:
        path: of the file or folder.
        format: "saved_model" or "tflite".
        num_bytes: size of the file, or of all files in the folder.
        inputs: name, shape (None: any) and dtype of the input.
        output: name of the output: "logits", "probabilities" or "features".
        num_images: on which file and model were compared.
        max_difference: largest absolute difference of any output value.
        top1_agreement: share of the images whose highest output is the same.
        ops: LiteRT ops with their number; empty for a SavedModel.
        warnings: what limits this verification; usually empty.
    """

    path: Path
    format: Format
    num_bytes: int
    inputs: dict[str, Any]
    output: str
    num_images: int
    max_difference: float
    top1_agreement: float
    ops: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def export(
    model: keras.Model,
    path: str | Path,
    *,
    format: Format,
    batch: int | None = 1,
    include_preprocessing: bool = False,
    input_size: InputSize | None = None,
    images: Sequence[Any] | None = None,
    tolerance: float = 1e-4,
    overwrite: bool = False,
) -> ExportReport:
    """Write a model as a SavedModel folder or a LiteRT file, and run it to verify it.

    Conversion runs in a child process under TensorFlow, so it works from each backend
    and gives the same file. The file has one signature, `serving_default`, from
    `images` to `logits` (`probabilities` if the model has a classifier activation,
    `features` if it is headless), and carries preprocessing and class names. A LiteRT
    file holds built-in ops only. The exported file is then run without this package on
    `images` and its outputs are compared with those of `model`; if they differ, nothing
    is left behind.

    Args:
        model: a float model; mixed precision is exported in float32.
        path: of the folder, or of the file, which ends in `.tflite`.
        format: "saved_model" or "tflite".
        batch: images per call, at least 1. Default 1, which mobile runtimes handle
            best. None: any number.
        include_preprocessing: whether the file takes pixels, uint8 in [0, 255], and
            resizes, crops and normalizes them itself. Default False: it takes what
            `model.preprocessing` returns, float32.
        input_size: pixels of the pictures that a file with preprocessing takes, one
            number or (height, width), or "any" for a SavedModel. Default: the size of
            the model.
        images: pictures to verify on, of any size: paths, PIL images or arrays.
            Default: digits from the embedded data set. Use images like those in use.
        tolerance: largest difference of an output value that is accepted, relative to
            the largest output or 1. Default 1e-4.
        overwrite: whether an existing file or folder is replaced. Default False.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is not set.
        ImportError: if TensorFlow or the LiteRT runtime is not installed.
        OSError: if the disk is full or `path` cannot be written.
        RuntimeError: if the conversion or the verification fails.
        ValueError: if an option or the model does not fit; the message says which.
    """
    path = Path(path).expanduser()
    check_request(model, path, format, batch, include_preprocessing, overwrite)
    preprocessing = getattr(model, "preprocessing", None)
    size = resolve_input_size(model, format, include_preprocessing, input_size)
    check_runtimes(format)
    check_writable(path.parent, required_bytes=3 * 4 * model.count_params())

    float_model = _in_float32(model)
    if include_preprocessing:
        float_model = _with_preprocessing(float_model, model.preprocessing, size)
    metadata = _metadata(model, float_model, batch, include_preprocessing)
    pictures = _pictures(preprocessing, float_model, images, include_preprocessing)
    expected = np.concatenate(
        [
            np.asarray(float_model.predict(p[None], verbose=0), "float32")  # pyright: ignore[reportArgumentType]
            for p in pictures
        ]
    )
    with tempfile.TemporaryDirectory() as scratch, replacing(path) as temporary:
        convert(float_model, Path(scratch), temporary, format, metadata)
        ops = {}
        if format == "tflite":
            ops = check_ops(temporary)
            append_tflite_metadata(temporary, metadata)
        else:
            write_saved_model_metadata(temporary, metadata)
        actual = run(temporary, format, pictures, Path(scratch))
        report = _compare(path, format, metadata, expected, actual, tolerance)
        num_bytes = _num_bytes(temporary)
    return ExportReport(**{**report, "ops": ops, "num_bytes": num_bytes})


def _in_float32(model: keras.Model) -> keras.Model:
    config = model.get_config()
    if "dtype" not in config:
        return model
    # Mixed-precision graphs do not convert; the weights are float32 anyway.
    twin = type(model).from_config({**config, "dtype": "float32"})
    twin.set_weights(model.get_weights())
    return twin


def _with_preprocessing(
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


def _metadata(
    model: keras.Model, float_model: keras.Model, batch: int | None, pixels: bool
) -> dict[str, Any]:
    config = getattr(model, "config", None)
    preprocessing = getattr(model, "preprocessing", None)
    activation = output_activation(model)
    output = "logits" if activation is None else "probabilities"
    if config is not None and config.num_classes is None:
        output = "features"
    return {
        "format_version": FORMAT_VERSION,
        "input": {
            "name": INPUT_NAME,
            "shape": [batch, *float_model.input_shape[1:]],
            "dtype": "uint8" if pixels else "float32",
            "values": "pixels" if pixels else "preprocessed",
        },
        "output": {"name": output, "activation": activation},
        "config": config and asdict(config),
        "preprocessing": preprocessing and asdict(preprocessing),
        "class_names": list(getattr(model, "class_names", None) or []),
    }


def _pictures(
    preprocessing: Preprocessing | None,
    model: keras.Model,
    images: Sequence[Any] | None,
    pixels: bool,
) -> list[np.ndarray]:
    """Return what is fed to the model and the file, one array per picture."""
    if images is None:
        digits = load_digits()[0]
        images = list(digits[:: len(digits) // NUM_DEFAULT_IMAGES][:NUM_DEFAULT_IMAGES])
    if not len(images):
        raise ValueError("images must hold at least one picture to verify on.")
    if preprocessing is None:
        height, width, channels = model.input_shape[1:]
        preprocessing = Preprocessing(image_size=(height, width), channels=channels)
    if not pixels:
        return [preprocessing(image) for image in images]
    height, width = model.input_shape[1:3]
    size = None if height is None or width is None else (height, width)
    return [preprocessing.to_pixels(image, size) for image in images]


def _compare(
    path: Path,
    format: Format,
    metadata: dict[str, Any],
    expected: np.ndarray,
    actual: np.ndarray,
    tolerance: float,
) -> dict[str, Any]:
    difference = float(np.max(np.abs(expected - actual)))
    agreement = float(np.mean(expected.argmax(-1) == actual.argmax(-1)))
    allowed = tolerance * max(1.0, float(np.max(np.abs(expected))))
    if not difference <= allowed:
        raise RuntimeError(
            f"The exported file computes something else than the model: largest "
            f"difference {difference:.2g}, allowed {allowed:.2g}, top-1 agreement "
            f"{agreement:.4f} on {len(expected)} images. Nothing was written."
        )
    warnings = []
    if float(np.ptp(expected, axis=0).max()) == 0.0:
        warnings.append(
            "The model gives the same output for each image (an untrained head is "
            "zero), so this comparison says little. Export a trained model."
        )
    return {
        "path": path,
        "format": format,
        "inputs": metadata["input"],
        "output": metadata["output"]["name"],
        "num_images": len(expected),
        "max_difference": difference,
        "top1_agreement": agreement,
        "warnings": tuple(warnings),
    }


def _num_bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
