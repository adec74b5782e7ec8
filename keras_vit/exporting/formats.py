"""The formats that a model can be exported to: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from keras_vit.exporting.quantizations import FLOAT32, QUANTIZATIONS
from keras_vit.metadata import OPENVINO_FILE

Format = Literal["litert", "saved_model", "onnx", "openvino", "torch", "stablehlo"]
# What one file of these formats can hold: their containers count in 32 bits.
_TWO_GIB = 2**31


@dataclass(frozen=True, kw_only=True)
class FormatRow:
    """What there is to know about a format before a model is converted to it.

    Args:
        suffix: ending of the file; "" for a folder.
        marker: file in the folder that tells it from others; "" for a file.
        backend: Keras backend of the child process that converts, whatever the
            backend of the model: a `.keras` file is the way between them.
        converter: module of `keras_vit.exporting` with a function `convert`.
        modules: what has to be importable, to convert and to run the file.
        runtime: the one of these that runs the file.
        extra: of this package that installs them.
        any_size: whether a file with preprocessing can take pictures of any size.
        any_model_size: whether models for images of any size can be converted.
        quantizations: precisions besides float32.
        quantization_modules: what has to be importable for these, too.
        max_bytes: largest file; None: as large as the disk.
        bytes_signature: whether image files can be a second form of input.
    """

    suffix: str
    backend: str
    converter: str
    modules: tuple[str, ...]
    runtime: str
    extra: str
    marker: str = ""
    any_size: bool = False
    any_model_size: bool = False
    quantizations: tuple[str, ...] = ()
    quantization_modules: tuple[str, ...] = ()
    max_bytes: int | None = None
    bytes_signature: bool = False


FORMATS: dict[str, FormatRow] = {
    "litert": FormatRow(
        suffix=".tflite",
        backend="tensorflow",
        converter="litert.convert",
        modules=("tensorflow", "ai_edge_litert"),
        runtime="ai_edge_litert",
        extra="export",
        any_model_size=True,
        quantizations=tuple(name for name in QUANTIZATIONS if name != FLOAT32),
        quantization_modules=("ai_edge_quantizer",),
    ),
    "saved_model": FormatRow(
        suffix="",
        marker="saved_model.pb",
        backend="tensorflow",
        converter="saved_model.convert",
        modules=("tensorflow",),
        runtime="tensorflow",
        extra="export",
        any_size=True,
        any_model_size=True,
        bytes_signature=True,
    ),
    "onnx": FormatRow(
        suffix=".onnx",
        backend="tensorflow",
        converter="onnx_file",
        modules=("tensorflow", "tf2onnx", "onnxruntime"),
        runtime="onnxruntime",
        extra="onnx",
        any_size=True,
        any_model_size=True,
        quantizations=("float16", "dynamic_int8"),
        max_bytes=_TWO_GIB,
    ),
    "openvino": FormatRow(
        suffix="",
        marker=OPENVINO_FILE,
        backend="tensorflow",
        converter="openvino_folder",
        modules=("tensorflow", "tf2onnx", "openvino"),
        runtime="openvino",
        extra="openvino",
        any_size=True,
        quantizations=("float16",),
        max_bytes=_TWO_GIB,  # The ONNX file on the way.
    ),
    "torch": FormatRow(
        suffix=".pt2",
        backend="torch",
        converter="pt2_file",
        modules=("torch",),
        runtime="torch",
        extra="torch",
    ),
    "stablehlo": FormatRow(
        suffix=".stablehlo",
        backend="jax",
        converter="stablehlo_file",
        modules=("jax", "flatbuffers"),
        runtime="jax",
        extra="stablehlo",
        max_bytes=_TWO_GIB,
    ),
}
# Other names of a format.
ALIASES = {"tflite": "litert", "pt2": "torch"}


def format_name(name: str) -> str:
    """Return the name of a format in `FORMATS`.

    Raises:
        ValueError: if there is none; the message lists the valid ones.
    """
    known = ALIASES.get(name, name)
    if known not in FORMATS:
        raise ValueError(
            f"format must be one of {[*FORMATS]}, received format={name!r}."
        )
    return known


def check_modules(name: str, quantization: str = FLOAT32) -> None:
    """Raise an ImportError unless what a format and precision need is installed."""
    row = FORMATS[name]
    modules = row.modules
    if quantization != FLOAT32:
        modules += row.quantization_modules
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"Exporting to {name} needs {' and '.join(missing)}, on each backend of "
            f"the model: the conversion runs in a process of its own, under "
            f"{row.backend}. Install with pip install 'keras3-vit[{row.extra}]'."
        )


def find_format(path: Path) -> str | None:
    """Return the format of an exported file or folder, by its name; None: none."""
    for name, row in FORMATS.items():
        if row.marker:
            is_one = (path / row.marker).is_file()
        else:
            is_one = path.suffix == row.suffix and path.is_file()
        if is_one:
            return name
    return None
