"""All formats and precisions of a model in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_vit.exporting.markdown import markdown_table
from keras_vit.exporting.timing import Latency
from keras_vit.pages.in_notebook import InNotebook, note, plain_table

TABLE_FILE, TEXT_FILE, PLOT_FILE = "table.json", "table.md", "table.png"
_TITLES = (
    *("format", "precision", "MB", "accuracy", "agreement", "difference", "ms"),
    *("of float32", "best", "file, or why there is none"),
)


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One format and precision.

    Args:
        format: a key of `FORMATS`.
        quantization: a key of `QUANTIZATIONS`.
        file: its name in the folder; "" if there is none.
        problem: why there is none; "" if there is one.
        num_bytes: of the file or folder.
        accuracy: on labelled images; None without labels.
        top1_agreement: with the Keras model.
        max_difference: of an output value, largest and absolute.
        latency: of the file.
        latency_ratio: to the LiteRT file in float32, measured in turns with it.
        is_best: whether no other row is at least as good in size, latency and accuracy
            (agreement, without labels), and better in one of them.
    """

    format: str
    quantization: str
    file: str = ""
    problem: str = ""
    num_bytes: int | None = None
    accuracy: float | None = None
    top1_agreement: float | None = None
    max_difference: float | None = None
    latency: Latency | None = None
    latency_ratio: float | None = None
    is_best: bool = False

    @property
    def quality(self) -> float | None:
        """Accuracy, or agreement without labels."""
        return self.top1_agreement if self.accuracy is None else self.accuracy


@dataclass(frozen=True, kw_only=True)
class Comparison(InNotebook):
    """All formats and precisions of a model.

    Args:
        folder: with the files, `table.md`, `table.json` and, if matplotlib is
            installed, `table.png`.
        rows: one for each format and precision.
        num_images: on which the files were compared with the model.
        source: of these images, as in `ExportReport`.
        model_accuracy: of the Keras model on them; None without labels.
        device: that latencies were measured on, one thread.
        measure: what accuracies are, as in `ExportReport`.
        agreement: what agreements are, as there.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        found = keras_vit.export_all(model, "files", formats=["openvino"])
        best = [row.quantization for row in found.rows if row.is_best]
        print(found.table())
        # | format | precision | ...
        ```
    """

    folder: Path
    rows: tuple[ComparisonRow, ...] = field(repr=False)
    num_images: int
    source: str
    model_accuracy: float | None
    device: str
    measure: str = "accuracy"
    agreement: str = "top-1 agreement"

    def table(self) -> str:
        """Return the table as Markdown."""
        rows = [
            (*cells, "**best**" * bool(best), text.replace("|", "\\|"))
            for *cells, best, text in map(_cells, self.rows)
        ]
        return markdown_table(_TITLES, rows)

    def _notebook(self) -> Iterator[str]:
        yield note(self._judged())
        yield plain_table("Formats and precisions", _TITLES, map(_cells, self.rows))

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}

    def summaries(self) -> list[str]:
        """Return the names of table and picture, those that could be written."""
        names = (TEXT_FILE, TABLE_FILE, PLOT_FILE)
        return [name for name in names if (self.folder / name).is_file()]

    def text(self) -> str:
        """Return the table as a page of Markdown."""
        return (
            f"# Formats and precisions\n\nOn {self._judged()}. Latency: the median of "
            f"one call with one thread on {self.device}, each format in turns with the "
            "LiteRT file in float32. Best: no other file is at least as good in size, "
            "latency and accuracy (agreement, without labels), and better in one.\n\n"
            f"{self.table()}\n"
        )

    def _judged(self) -> str:
        accuracy = self.model_accuracy
        judged = f"{self.num_images} pictures ({self.source})"
        if accuracy is not None:
            measure = "" if self.measure == "accuracy" else f" ({self.measure})"
            judged += (
                f", on which the Keras model has an accuracy{measure} of {accuracy:.2%}"
            )
        return judged


def _cells(row: ComparisonRow) -> list[str]:
    def text(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    size = None if row.num_bytes is None else row.num_bytes / 1e6
    return [
        row.format,
        row.quantization,
        text(size, ".3f"),
        text(row.accuracy, ".2%"),
        text(row.top1_agreement, ".2%"),
        text(row.max_difference, ".2g"),
        text(row.latency and row.latency.median_ms, ".2f"),
        text(row.latency_ratio, ".2f"),
        "best" if row.is_best else "",
        row.file or row.problem,
    ]


def mark_best(rows: Sequence[ComparisonRow]) -> tuple[ComparisonRow, ...]:
    """Return the rows, those marked that no other one makes pointless."""
    costs = [_costs(row) for row in rows]
    return tuple(
        replace(row, is_best=cost is not None and not _is_beaten(cost, costs))
        for row, cost in zip(rows, costs, strict=True)
    )


def _costs(row: ComparisonRow) -> tuple[float, ...] | None:
    if row.num_bytes is None or row.latency is None or row.quality is None:
        return None
    # Two digits of the ratio: the third one is chance.
    time = row.latency.median_ms
    if row.latency_ratio is not None:
        time = round(row.latency_ratio, 2)
    return (row.num_bytes, time, -row.quality)


def _is_beaten(
    cost: tuple[float, ...], others: Sequence[tuple[float, ...] | None]
) -> bool:
    return any(
        other is not None
        and other != cost
        and all(a <= b for a, b in zip(other, cost, strict=True))
        for other in others
    )
