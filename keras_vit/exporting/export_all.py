"""Export a model in each format and precision, and compare the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_vit.exporting.comparison import (
    PLOT_FILE,
    TABLE_FILE,
    TEXT_FILE,
    Comparison,
    ComparisonRow,
    mark_best,
)
from keras_vit.exporting.comparison_plot import draw
from keras_vit.exporting.export import export
from keras_vit.exporting.formats import FORMATS, format_name
from keras_vit.exporting.quantizations import FLOAT32, QUANTIZATIONS
from keras_vit.exporting.report import ExportReport
from keras_vit.exporting.request import Input
from keras_vit.exporting.request_checks import check_thresholds
from keras_vit.exporting.timing import (
    Latency,
    TimedFile,
    device_name,
    image_shape,
    time_files,
)
from keras_vit.exporting.verification import MAX_LOSS
from keras_vit.files import replacing

REFERENCE = ("litert", FLOAT32)
NUM_CALIBRATION = 100

Key = tuple[str, str]  # Format and precision.


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

    Returns:
        A `Comparison`: a row for each format and precision; `folder` has it, too.

    Raises:
        FileExistsError: if `folder` holds something else, or `overwrite` is not set.
        RuntimeError: if there is no file at all; the message has the reasons.
        ValueError: if a format or `max_loss` does not exist.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        model = keras_vit.load("saved_models/photos")
        found = keras_vit.export_all(model, "files", evaluation=data, formats=["onnx"])
        [row.quantization for row in found.rows]
        # ['float32', 'float16', 'dynamic_int8']
        print(found.table())
        ```
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
        "calibration": calibration,
        "input": input,
        "max_loss": max_loss,
        "accept_loss": accept_loss,
        "report": False,
    }
    with replacing(folder) as temporary:
        temporary.mkdir()
        wanted = [
            (format, precision)
            for format in names
            for precision in (FLOAT32, *FORMATS[format].quantizations)
        ]
        results = {key: _try(model, temporary, *key, **options) for key in wanted}
        reports = {
            key: result
            for key, result in results.items()
            if isinstance(result, ExportReport)
        }
        if not reports:
            # Most often one mistake stops all of them.
            problems = (f"{format}: {text}" for (format, _), text in results.items())
            reasons = "; ".join(dict.fromkeys(problems))
            raise RuntimeError(f"No format could be written. {reasons}")
        latencies = _latencies(reports)
        first = next(iter(reports.values()))
        comparison = Comparison(
            folder=folder,
            rows=mark_best(
                [
                    _row(*key, result, *latencies.get(key, (None, None)))
                    for key, result in results.items()
                ]
            ),
            num_images=first.num_images,
            source=first.source,
            model_accuracy=first.model_accuracy,
            device=device_name(),
            measure=first.measure,
            agreement=first.agreement,
        )
        _write(comparison, temporary)
        _check_folder(folder, overwrite)  # Another process may have been faster.
    return comparison


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
            "with overwrite=True (--overwrite)."
        )


def file_name(format: str, precision: str) -> str:
    """Return the name of a file in the folder of a comparison."""
    return f"{format}_{precision}{FORMATS[format].suffix}"


def _try(
    model: keras.Model,
    folder: Path,
    format: str,
    precision: str,
    *,
    calibration: Any,
    **options: Any,
) -> ExportReport | str:
    """Write one file and return its report, or why there is none."""
    needs = QUANTIZATIONS[precision].needs_calibration
    try:
        return export(
            model,
            folder / file_name(format, precision),
            format=format,
            quantization=precision,
            calibration=calibration if needs else None,
            **options,
        )
    except (ImportError, RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # The last line of a child process is what went wrong.
        return lines[0] if len(lines) < 2 else f"{lines[0]} {lines[-1]}"


def _row(
    format: str,
    precision: str,
    result: ExportReport | str,
    latency: Latency | None,
    latency_ratio: float | None,
) -> ComparisonRow:
    if isinstance(result, str):
        return ComparisonRow(format=format, quantization=precision, problem=result)
    return ComparisonRow(
        format=format,
        quantization=precision,
        file=result.path.name,
        num_bytes=result.num_bytes,
        accuracy=result.accuracy,
        top1_agreement=result.top1_agreement,
        max_difference=result.max_difference,
        latency=latency,
        latency_ratio=latency_ratio,
    )


def _latencies(
    reports: dict[Key, ExportReport],
) -> dict[Key, tuple[Latency, float | None]]:
    """Return latencies and their ratios to the reference, one process for each format.

    The LiteRT file in float32 runs in each of them, in turns with the others.
    """
    measured: dict[Key, tuple[Latency, float | None]] = {}
    for format in dict.fromkeys(format for format, _ in reports):
        keys = [key for key in reports if key[0] == format]
        timed = keys + [REFERENCE] * (REFERENCE in reports and REFERENCE not in keys)
        try:
            [found] = time_files([_timed(reports[key]) for key in timed])
        except RuntimeError:  # The files are right all the same.
            continue
        by_key = dict(zip(timed, found, strict=True))
        reference = by_key.get(REFERENCE)
        for key in keys:
            ratio = reference and by_key[key].median_ms / reference.median_ms
            measured[key] = by_key[key], ratio
    return measured


def _timed(report: ExportReport) -> TimedFile:
    return TimedFile(
        format=report.format,
        path=str(report.path),
        shape=image_shape(report.inputs["shape"]),
        dtype=report.inputs["dtype"],
    )


def _write(comparison: Comparison, folder: Path) -> None:
    table = json.dumps(comparison.as_json(), indent=1) + "\n"
    (folder / TABLE_FILE).write_text(table, encoding="utf-8")
    (folder / TEXT_FILE).write_text(comparison.text(), encoding="utf-8")
    try:
        draw(comparison, folder / PLOT_FILE)
    except ImportError:
        pass  # The picture is an extra; the numbers are in the table.
