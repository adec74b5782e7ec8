"""The formats that a model can be exported to: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from keras_vit.export.quantizations import FLOAT32

Format = Literal["litert", "saved_model"]


@dataclass(frozen=True, kw_only=True)
class FormatRow:
    """What there is to know about a format before a model is converted to it.

    Args:
        suffix: ending of the file; "" for a folder.
        marker: file in the folder that tells it from others; "" for a file.
        backend: Keras backend of the child process that converts, whatever the
            backend of the model: a `.keras` file is the way between them.
        converter: module of `keras_vit.export.converters`.
        modules: what has to be importable, to convert and to run the file.
        extra: of this package that installs them.
        any_batch: whether a file can take any number of images.
        any_size: whether a file with preprocessing can take pictures of any size.
        quantizations: precisions besides float32.
        quantization_modules: what has to be importable for these, too.
        attention: whether a file can have the attention map as a second output.
    """

    suffix: str
    backend: str
    converter: str
    modules: tuple[str, ...]
    extra: str
    marker: str = ""
    any_batch: bool = True
    any_size: bool = False
    quantizations: tuple[str, ...] = ()
    quantization_modules: tuple[str, ...] = ()
    attention: bool = False


FORMATS: dict[str, FormatRow] = {
    "litert": FormatRow(
        suffix=".tflite",
        backend="tensorflow",
        converter="litert",
        modules=("tensorflow", "ai_edge_litert"),
        extra="export",
        quantizations=(
            "float16",
            "dynamic_int8",
            "int8",
            "weight_only_int8",
            "int4",
            "int16x8",
            "mixed_int8",
        ),
        quantization_modules=("ai_edge_quantizer",),
        attention=True,
    ),
    "saved_model": FormatRow(
        suffix="",
        marker="saved_model.pb",
        backend="tensorflow",
        converter="saved_model",
        modules=("tensorflow",),
        extra="export",
        any_size=True,
        attention=True,
    ),
}
# Other names of a format.
ALIASES = {"tflite": "litert"}


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
            "the model: the conversion runs in a process of its own. Install with "
            f"pip install 'keras3-vit[{row.extra}]'."
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
