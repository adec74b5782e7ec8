"""All formats and precisions of a model in one table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras

from keras_vit.export.comparison_plot import draw
from keras_vit.export.export import export
from keras_vit.export.formats import FORMATS, format_name
from keras_vit.export.judge import MAX_LOSS, check_thresholds
from keras_vit.export.measure import (
    Latency,
    TimedFile,
    device_name,
    image_shape,
    time_files,
)
from keras_vit.export.quantizations import FLOAT32, QUANTIZATIONS
from keras_vit.export.report import ExportReport
from keras_vit.export.report_text import markdown_table
from keras_vit.export.request import Input
from keras_vit.files import replacing

TABLE_FILE, TEXT_FILE, PLOT_FILE = "table.json", "table.md", "table.png"
REFERENCE = ("litert", FLOAT32)
NUM_CALIBRATION = 100
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
class Comparison:
    """All formats and precisions of a model.

    Args:
        folder: with the files, `table.md`, `table.json` and, if matplotlib is
            installed, `table.png`.
        rows: one for each format and precision.
        num_images: on which the files were compared with the model.
        source: of these images, as in `ExportReport`.
        model_accuracy: of the Keras model on them; None without labels.
        device: that latencies were measured on, one thread.
    """

    folder: Path
    rows: tuple[ComparisonRow, ...]
    num_images: int
    source: str
    model_accuracy: float | None
    device: str

    def table(self) -> str:
        """Return the table as Markdown."""
        return markdown_table(_TITLES, map(_cells, self.rows))

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}

    def summaries(self) -> list[str]:
        """Return the names of table and picture, those that could be written."""
        names = (TEXT_FILE, TABLE_FILE, PLOT_FILE)
        return [name for name in names if (self.folder / name).is_file()]

    def text(self) -> str:
        """Return the table as a page of Markdown."""
        accuracy = self.model_accuracy
        judged = f"{self.num_images} pictures ({self.source})"
        if accuracy is not None:
            judged += f", on which the Keras model has an accuracy of {accuracy:.2%}"
        return (
            f"# Formats and precisions\n\nOn {judged}. Latency: the median of one "
            f"call with one thread on {self.device}, each format in turns with the "
            "LiteRT file in float32. Best: no other file is at least as good in size, "
            "latency and accuracy (agreement, without labels), and better in one.\n\n"
            f"{self.table()}\n"
        )


def export_all(
    model: keras.Model,
    folder: str | Path,
    *,
    evaluation: Any = None,
    images: Sequence[Any] | str | Path | None = None,
    calibration: Sequence[Any] | str | Path | None = None,
    input: Input = "float",
    formats: Sequence[str] | None = None,
    max_loss: float = MAX_LOSS,
    accept_loss: bool = False,
    overwrite: bool = False,
) -> Comparison:
    """Export a model in every format and precision that is installed, and compare.

    What is not installed, fails or loses more than `max_loss` is a row that says so.

    Args:
        model: a float model.
        folder: for the files and the table; new, empty, or of a former comparison.
        evaluation: as in `export`.
        images: as in `export`.
        calibration: as in `export`. Default: 100 training images of `evaluation`, if
            it has such a part; without any, precisions that need them are left out.
        input: as in `export`.
        formats: as in `export`, several. Default: all.
        max_loss: as in `export`.
        accept_loss: as in `export`.
        overwrite: whether a former comparison is replaced. Default False.

    Raises:
        FileExistsError: if `folder` holds something else, or `overwrite` is not set.
        RuntimeError: if there is no file at all; the message has the reasons.
        ValueError: if a format or `max_loss` does not exist.
    """
    folder = Path(folder).expanduser()
    _check_folder(folder, overwrite)
    names = [format_name(name) for name in formats or FORMATS]
    check_thresholds(max_loss)
    train = getattr(evaluation, "train", None)
    if calibration is None and train is not None:
        calibration = train.samples(NUM_CALIBRATION)
    options = {
        "evaluation": evaluation,
        "images": images,
        "input": input,
        "max_loss": max_loss,
        "accept_loss": accept_loss,
        "report": False,
    }
    with replacing(folder) as temporary:
        temporary.mkdir()
        reports, rows = {}, []
        for format, precision in _wanted(names):
            needs = QUANTIZATIONS[precision].needs_calibration
            found = _try(
                model,
                temporary / file_name(format, precision),
                format=format,
                quantization=precision,
                calibration=calibration if needs else None,
                **options,
            )
            if isinstance(found, ExportReport):
                reports[format, precision] = found
                found = ""
            rows.append(_row(format, precision, found, reports))
        if not reports:
            # Most often one mistake stops all of them.
            problems = (f"{row.format}: {row.problem}" for row in rows)
            reasons = "; ".join(dict.fromkeys(problems))
            raise RuntimeError(f"No format could be written. {reasons}")
        first = next(iter(reports.values()))
        result = Comparison(
            folder=folder,
            rows=mark_best(_with_latencies(rows, reports)),
            num_images=first.num_images,
            source=first.source,
            model_accuracy=first.model_accuracy,
            device=device_name(),
        )
        _write(result, temporary)
        _check_folder(folder, overwrite)  # Another process may have been faster.
    return result


def _check_folder(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / TABLE_FILE).is_file():
        raise FileExistsError(
            f"{str(folder)!r} is no comparison of a former export, and is never "
            "replaced. Choose another folder (--output)."
        )
    if not overwrite:
        raise FileExistsError(
            f"{str(folder)!r} exists. Choose another folder (--output), or replace it "
            "with overwrite=True (--force)."
        )


def _wanted(formats: Sequence[str]) -> Iterator[tuple[str, str]]:
    for format in formats:
        for precision in (FLOAT32, *FORMATS[format].quantizations):
            yield format, precision


def file_name(format: str, precision: str) -> str:
    """Return the name of a file in the folder of a comparison."""
    return f"{format}_{precision}{FORMATS[format].suffix}"


def _try(model: keras.Model, path: Path, **options: Any) -> ExportReport | str:
    try:
        return export(model, path, **options)
    except (ImportError, RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # The last line of a child process is what went wrong.
        return lines[0] if len(lines) < 2 else f"{lines[0]} {lines[-1]}"


def _row(
    format: str,
    precision: str,
    problem: str,
    reports: dict[tuple[str, str], ExportReport],
) -> ComparisonRow:
    row = ComparisonRow(format=format, quantization=precision, problem=problem)
    if problem:
        return row
    report = reports[format, precision]
    return replace(
        row,
        file=report.path.name,
        num_bytes=report.num_bytes,
        accuracy=report.accuracy,
        top1_agreement=report.top1_agreement,
        max_difference=report.max_difference,
    )


def _with_latencies(
    rows: list[ComparisonRow], reports: dict[tuple[str, str], ExportReport]
) -> list[ComparisonRow]:
    """Return the rows with latencies, one process for each format.

    The LiteRT file in float32 runs in each of them, in turns with the others.
    """
    measured: dict[tuple[str, str], tuple[Latency, float | None]] = {}
    for format in dict.fromkeys(format for format, _ in reports):
        keys = [key for key in reports if key[0] == format]
        timed = keys + [REFERENCE] * (REFERENCE in reports and REFERENCE not in keys)
        files = [_timed(reports[key]) for key in timed]
        try:
            (found,) = time_files(files)
        except RuntimeError:  # The files are right all the same.
            continue
        by_key = dict(zip(timed, found, strict=True))
        reference = by_key.get(REFERENCE)
        for key in keys:
            ratio = reference and by_key[key].median_ms / reference.median_ms
            measured[key] = by_key[key], ratio
    return [
        replace(row, latency=latency, latency_ratio=ratio)
        for row in rows
        for latency, ratio in [
            measured.get((row.format, row.quantization), (None, None))
        ]
    ]


def _timed(report: ExportReport) -> TimedFile:
    return TimedFile(
        format=report.format,
        path=str(report.path),
        shape=image_shape(report.inputs["shape"]),
        dtype=report.inputs["dtype"],
    )


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
        "**best**" if row.is_best else "",
        (row.file or row.problem).replace("|", "\\|"),
    ]


def _write(comparison: Comparison, folder: Path) -> None:
    table = json.dumps(comparison.as_json(), indent=1) + "\n"
    (folder / TABLE_FILE).write_text(table, encoding="utf-8")
    (folder / TEXT_FILE).write_text(comparison.text(), encoding="utf-8")
    try:
        draw(comparison, folder / PLOT_FILE)
    except ImportError:
        pass  # The picture is an extra; the numbers are in the table.
