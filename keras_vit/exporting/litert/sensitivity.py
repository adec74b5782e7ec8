"""What each part of a model costs when it computes in int8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from keras_vit.exporting.conversion import convert
from keras_vit.exporting.litert.calibration import calibration_images
from keras_vit.exporting.markdown import markdown_table
from keras_vit.exporting.prepared_model import prepare
from keras_vit.exporting.quantizations import MIXED_INT8
from keras_vit.exporting.request import ExportRequest
from keras_vit.exporting.request_checks import check_request
from keras_vit.pages.in_notebook import InNotebook, plain_table

_TITLES = ("in int8", "error", "largest difference", "top-1 agreement")


@dataclass(frozen=True, kw_only=True)
class SensitivityRow:
    """What one part of a model loses when it alone computes in int8.

    Args:
        kind: "part": the matrix products of a layer; "op": all ops of a kind; "all":
            several of them together.
        name: "block_0/attention", "SOFTMAX", "int8", ...
        error: root mean square of the differences of the outputs, as a share of that of
            the outputs; both without the mean of a row, to which a softmax is blind,
            unless an image may have several classes.
        max_difference: largest absolute difference of any output value.
        top1_agreement: share of the images whose highest output is the same; where an
            image may have several classes, share of all yes and no that are the same.
    """

    kind: Literal["part", "op", "all"]
    name: str
    error: float
    max_difference: float
    top1_agreement: float


@dataclass(frozen=True, kw_only=True)
class Sensitivity(InNotebook):
    """What the parts of a model cost in int8, each one alone.

    Args:
        num_images: on which it was measured; they are the calibration pictures.
        rows: parts in the order of the model, then kinds of ops, then all together.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        found = keras_vit.sensitivity(model, "photos/")
        parts = [row for row in found.rows if row.kind == "part"]
        worst = max(parts, key=lambda row: row.error)
        found.num_images, worst.name  # (24, 'head')
        ```
    """

    num_images: int
    rows: tuple[SensitivityRow, ...] = field(repr=False)

    def table(self) -> str:
        """Return a Markdown table, the most sensitive part and op first."""
        return markdown_table(_TITLES, self._cells())

    def _notebook(self) -> Iterator[str]:
        caption = f"Each part alone in int8, on {self.num_images} pictures"
        yield plain_table(caption, _TITLES, self._cells())

    def _cells(self) -> list[tuple[str, ...]]:
        kinds = ("part", "op", "all")
        ordered = sorted(self.rows, key=lambda r: (kinds.index(r.kind), -r.error))
        return [
            (
                row.name,
                f"{row.error:.2%}",
                f"{row.max_difference:.2g}",
                f"{row.top1_agreement:.2%}",
            )
            for row in ordered
        ]


def sensitivity(
    model: keras.Model, calibration: Sequence[Any] | str | Path
) -> Sensitivity:
    """Measure what each part of a model costs when it alone computes in int8.

    Each row is a LiteRT file in which one layer's matrix products, or one kind of op,
    have eight bits and the rest is float; it is run on the calibration pictures and
    compared with the float file. "mixed_int8" keeps parts in float by this order.

    Args:
        model: a float model; it is left as it is.
        calibration: pictures as `export` takes them, at least 10, better 100.

    Returns:
        A `Sensitivity`: a row for each part, each kind of op, and all together.

    Raises:
        ImportError: if TensorFlow, LiteRT or ai-edge-quantizer is not installed.
        RuntimeError: if the model does not convert.
        ValueError: if the model or the pictures do not fit; the message says how.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        found = keras_vit.sensitivity(model, "photos/")
        print(found.table())
        # | in int8 | error | largest difference | top-1 agreement | ...
        ```
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.tflite"
        request = ExportRequest(path=target, format="litert", quantization=MIXED_INT8)
        check_request(request, model, calibration)
        prepared = prepare(model, request)
        images = calibration_images(calibration, prepared)
        converted = convert(
            prepared,
            target,
            Path(folder),
            calibration=images,
            converter="litert.sensitivity_rows",
        )
    rows = tuple(SensitivityRow(**row) for row in converted.decided["rows"])
    return Sensitivity(num_images=len(images), rows=rows)
