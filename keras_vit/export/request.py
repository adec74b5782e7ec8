"""What an export may be asked for, and the checks before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import keras

Format = Literal["saved_model", "tflite"]
InputSize = int | tuple[int, int] | Literal["any"]


def check_request(
    model: keras.Model,
    path: Path,
    format: str,
    batch: int | None,
    include_preprocessing: bool,
    overwrite: bool,
) -> None:
    """Raise an error that says which option, path or model does not fit."""
    if format not in get_args(Format):
        raise ValueError(
            f"format must be one of {list(get_args(Format))}, received "
            f"format={format!r}."
        )
    if (path.suffix == ".tflite") != (format == "tflite") or path.suffix == ".keras":
        needed = "end in .tflite" if format == "tflite" else "be the name of a folder"
        raise ValueError(
            f"The path of a {format} export must {needed}, received {str(path)!r}."
        )
    is_other_folder = path.is_dir() and (
        format == "tflite"
        or (any(path.iterdir()) and not (path / "saved_model.pb").is_file())
    )
    if is_other_folder:
        raise FileExistsError(
            f"{str(path)!r} is a folder that is no SavedModel, and is never replaced. "
            "Choose another path."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{str(path)!r} exists. Choose another path, or replace it with "
            "overwrite=True (--overwrite)."
        )
    if batch is not None and (isinstance(batch, bool) or batch < 1):
        raise ValueError(
            "batch must be at least 1, or None for any number of images, received "
            f"batch={batch}."
        )
    if include_preprocessing:
        preprocessing = getattr(model, "preprocessing", None)
        if preprocessing is None:
            raise ValueError(
                "The model has no preprocessing to include. Set model.preprocessing = "
                "keras_vit.Preprocessing(...), or leave include_preprocessing out."
            )
        if preprocessing.value_range != (0.0, 255.0):
            raise ValueError(
                "Preprocessing can be included if pixels are bytes, received "
                f"value_range={preprocessing.value_range}. Export without it."
            )
    for layer in model._flatten_layers():
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                "A model that Keras has quantized does not convert, received "
                f"{layer.name!r} in {layer.quantization_mode}. Export the float model."
            )


def resolve_input_size(
    model: keras.Model,
    format: str,
    include_preprocessing: bool,
    input_size: InputSize | None,
) -> tuple[int | None, int | None]:
    """Return (height, width) of the pictures that the file takes; None: any."""
    if input_size is not None and not include_preprocessing:
        raise ValueError(
            "input_size is for files that resize, received "
            f"input_size={input_size!r}. Add include_preprocessing=True."
        )
    if input_size is None:
        return tuple(model.input_shape[1:3])
    if input_size == "any":
        if format == "tflite":
            raise ValueError(
                "A LiteRT file needs a fixed input_size, received input_size='any'. "
                "Pass the (height, width) of your pictures in pixels."
            )
        return (None, None)
    size = (input_size, input_size) if isinstance(input_size, int) else input_size
    if len(size) != 2 or any(int(side) < 1 for side in size):
        raise ValueError(
            "input_size must be one number of pixels, (height, width) or 'any', "
            f"received input_size={input_size!r}."
        )
    return (int(size[0]), int(size[1]))


def check_runtimes(format: str) -> None:
    """Raise an ImportError unless TensorFlow and the LiteRT runtime are there."""
    from importlib.util import find_spec

    needed = ["tensorflow"] + (["ai_edge_litert"] if format == "tflite" else [])
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"Exporting to {format} needs {' and '.join(missing)}. Install with "
            "pip install 'keras3-vit[export]'."
        )
