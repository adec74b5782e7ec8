"""Reports and tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_vit.export.report import ExportReport

_SOURCES = {
    "evaluation": "evaluation images",
    "images": "images given to verify on",
    "calibration": "images that it was calibrated with",
    "digits": "embedded digits",
}


def report_text(report: ExportReport) -> str:
    """Return a report as a page of Markdown."""
    sections = [
        f"# {report.path.name}",
        markdown_table(("", ""), _facts(report)),
        f"## Compared with the Keras model on {report.num_images} "
        f"{_SOURCES[report.source]}",
        markdown_table(("", ""), _comparison(report)),
    ]
    if report.latency is not None:
        sections += [f"## Latency on {report.device}", _latencies(report)]
    if report.ops:
        ops = sorted(report.ops.items(), key=lambda item: -item[1])
        sections += ["## Ops", markdown_table(("op", "number"), ops)]
    if report.warnings:
        sections += ["## To bear in mind", *(f"- {text}" for text in report.warnings)]
    return "\n\n".join(sections) + "\n"


def _facts(report: ExportReport) -> list[tuple[str, str]]:
    facts = [
        ("format", report.format),
        ("precision", report.quantization),
        ("size", f"{report.num_bytes:,} bytes"),
        ("input", f"{report.inputs['name']} {shape_text(report.inputs)}"),
        ("output", report.output),
    ]
    if report.float_parts:
        facts.append(("in float", ", ".join(report.float_parts)))
    return facts


def _comparison(report: ExportReport) -> list[tuple[str, str]]:
    found = [
        ("top-1 agreement", f"{report.top1_agreement:.2%}"),
        ("largest difference of an output", f"{report.max_difference:.2g}"),
    ]
    if report.accuracy is not None and report.model_accuracy is not None:
        accuracies = [
            ("accuracy of the file", f"{report.accuracy:.2%}"),
            ("accuracy of the Keras model", f"{report.model_accuracy:.2%}"),
        ]
        found = accuracies + found
    return found


def _latencies(report: ExportReport) -> str:
    names = (f"{report.quantization}, this file", "float32")
    measured = [
        (name, latency)
        for name, latency in zip(
            names, (report.latency, report.float32_latency), strict=True
        )
        if latency is not None
    ]
    rows = [
        (
            name,
            f"{latency.median_ms:.2f}",
            f"{latency.p95_ms:.2f}",
            latency.batch,
            latency.threads,
            latency.num_calls,
        )
        for name, latency in measured
    ]
    titles = ("", "median ms", "95 % ms", "images per call", "threads", "calls")
    ratio = report.latency_ratio
    text = markdown_table(titles, rows)
    if ratio is None:
        return text
    return f"{text}\n\nMeasured in turns; {ratio:.2f} of float32."


def markdown_table(titles: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of Markdown."""
    cells = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in cells)


def shape_text(inputs: dict[str, Any]) -> str:
    """Return shape, type and meaning of an input in words."""
    sizes = ", ".join("any" if size is None else str(size) for size in inputs["shape"])
    return f"({sizes}) {inputs['dtype']}, {inputs['values']}"
