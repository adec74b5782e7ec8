"""What was exported and how it compares with the Keras model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_vit.exporting.markdown import markdown_table
from keras_vit.exporting.quantizations import FLOAT32
from keras_vit.exporting.timing import Latency
from keras_vit.exporting.verification_pictures import Source
from keras_vit.files import replacing
from keras_vit.pages.in_notebook import InNotebook, note, plain_facts, plain_table

_ENDINGS = (".json", ".md")
_LATENCY_TITLES = (
    *("", "median ms", "95 % ms", "images per call", "threads", "calls"),
)
_SOURCES = {
    "evaluation": "evaluation images",
    "images": "images given to verify on",
    "calibration": "images that it was calibrated with",
    "digits": "embedded digits",
}


@dataclass(frozen=True, kw_only=True)
class ExportReport(InNotebook):
    """What was exported and how it compares with the Keras model.

    Args:
        path: of the file or folder.
        format: "litert", "saved_model", ...
        quantization: "float32", "dynamic_int8", ...
        num_bytes: size of the file, or of all files in the folder.
        inputs: name, shape (None: any) and dtype of the input.
        output: name of the output: "logits", "probabilities" or "features".
        outputs: what the file says about it: activation; the threshold of a single
            output, or those of several classes; scale and zero point of integers.
        num_images: on which file and model were compared.
        source: of these images: "evaluation", "images", "calibration" or "digits", the
            embedded ones.
        max_difference: largest absolute difference of any output value.
        top1_agreement: share of the images whose highest output is the same; where an
            image may have several classes, share of all yes and no that are the same.
        accuracy: of the file, if the images have labels; of several labels it is the
            mean average precision.
        model_accuracy: of the Keras model on the same images.
        measure: what `accuracy` is, in words.
        agreement: what `top1_agreement` is, in words.
        latency: of the file; None if it was not measured.
        float32_latency: of the same file in float32, measured in turns with it; None
            if the file is float32 itself.
        device: that latencies were measured on.
        ops: LiteRT ops with their number; empty for other formats.
        float_parts: what "mixed_int8" keeps in float, "block_0/attention" for example.
        changes: how the file differs from an export without a profile.
        runtime: the oldest that computes a LiteRT file right, in words.
        warnings: what limits this verification; usually empty.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        report = keras_vit.export(model, "photos.onnx", format="onnx", images="photos/")
        report.format, report.quantization  # ('onnx', 'float32')
        report.top1_agreement, report.num_images  # (1.0, 24)
        ```
    """

    path: Path
    format: str
    quantization: str = FLOAT32
    num_bytes: int
    inputs: dict[str, Any] = field(repr=False)
    output: str
    outputs: dict[str, Any] = field(default_factory=dict, repr=False)
    num_images: int
    source: Source = "digits"
    max_difference: float
    top1_agreement: float
    accuracy: float | None = None
    model_accuracy: float | None = None
    measure: str = "accuracy"
    agreement: str = "top-1 agreement"
    latency: Latency | None = None
    float32_latency: Latency | None = None
    device: str = ""
    ops: dict[str, int] = field(default_factory=dict, repr=False)
    float_parts: tuple[str, ...] = field(default=(), repr=False)
    changes: tuple[str, ...] = field(default=(), repr=False)
    runtime: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def latency_ratio(self) -> float | None:
        """Median latency as a share of that in float32; None if not measured."""
        if self.latency is None or self.float32_latency is None:
            return None
        return self.latency.median_ms / self.float32_latency.median_ms

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        ratio = self.latency_ratio
        return {**asdict(self), "path": str(self.path), "latency_ratio": ratio}

    def text(self) -> str:
        """Return what was written, and what the comparison found, in some lines."""
        return "\n".join(self._lines())

    def texts(self) -> tuple[str, str]:
        """Return the report as JSON and as Markdown."""
        return json.dumps(self.as_json(), indent=1) + "\n", _page(self)

    def _lines(self) -> Iterator[str]:
        yield f"{self.path}: {self.num_bytes:,} bytes"
        yield f"  input   {self.inputs['name']} {shape_text(self.inputs)}"
        yield f"  output  {output_text(self)}"
        if self.runtime:
            yield f"  needs   {self.runtime}"
        agreement = f"{self.agreement} {self.top1_agreement:.2%}"
        yield (
            f"  checked on {self.num_images} images: largest difference "
            f"{self.max_difference:.1e}, {agreement}"
        )
        if self.accuracy is not None:
            of_model = f"{self.model_accuracy:.2%} for the Keras model"
            yield f"  {self.measure} {self.accuracy:.2%}, {of_model}"
        if self.latency is not None:
            ratio, speed = self.latency_ratio, f"{self.latency.median_ms:.2f} ms"
            text = "" if ratio is None else f", {ratio:.2f} of float32"
            yield f"  latency {speed}{text}, one thread, {self.device}"
        if self.float_parts:
            yield f"  in float {', '.join(self.float_parts)}"
        yield from (f"  changed {change}" for change in self.changes)
        if self.ops:
            yield f"  ops     {sum(self.ops.values())} built-in LiteRT ops"

    def _notebook(self) -> Iterator[str]:
        compared = f"{self.num_images} {_SOURCES[self.source]}"
        yield from (note(text, "warning") for text in self.warnings)
        yield plain_facts([("file", self.path), *_facts(self)])
        yield note(f"Compared with the Keras model on {compared}:")
        yield plain_facts(_comparison(self))
        if self.latency is not None:
            rows = _latency_rows(self)
            yield plain_table(f"Latency on {self.device}", _LATENCY_TITLES, rows)

    def save(self, folder: str | Path, *, name: str = "report") -> None:
        """Write `report.json`, and `report.md` to read; former ones are replaced.

        Args:
            folder: to write to.
            name: of both files, without ending. Default "report".

        Raises:
            OSError: if they cannot be written.
        """
        for ending, text in zip(_ENDINGS, self.texts(), strict=True):
            with replacing(Path(folder) / f"{name}{ending}") as temporary:
                temporary.write_text(text, encoding="utf-8")


def report_paths(path: Path) -> list[Path]:
    """Return the paths of the reports beside a file.

    They hold the whole name of the file: one model has files of several formats.
    """
    return [path.with_name(f"{path.name}.report{ending}") for ending in _ENDINGS]


def check_reports(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise a FileExistsError if a report stands where one would be written."""
    existing = [str(path) for path in paths if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"{existing[0]!r} exists. Choose another path, replace it with "
            "overwrite=True (--overwrite), or export with report=False (--no-report)."
        )


def num_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _page(report: ExportReport) -> str:
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
        ("output", output_text(report)),
    ]
    if report.runtime:
        facts.append(("needs", report.runtime))
    if report.float_parts:
        facts.append(("in float", ", ".join(report.float_parts)))
    return facts


def _comparison(report: ExportReport) -> list[tuple[str, str]]:
    found = [
        (report.agreement, f"{report.top1_agreement:.2%}"),
        ("largest difference of an output", f"{report.max_difference:.2g}"),
    ]
    if report.accuracy is not None and report.model_accuracy is not None:
        accuracies = [
            (f"{report.measure} of the file", f"{report.accuracy:.2%}"),
            (f"{report.measure} of the Keras model", f"{report.model_accuracy:.2%}"),
        ]
        found = accuracies + found
    return found


def _latency_rows(report: ExportReport) -> list[tuple[object, ...]]:
    measured = {
        f"{report.quantization}, this file": report.latency,
        "float32": report.float32_latency,
    }
    return [
        (
            name,
            f"{latency.median_ms:.2f}",
            f"{latency.p95_ms:.2f}",
            latency.batch,
            latency.threads,
            latency.num_calls,
        )
        for name, latency in measured.items()
        if latency is not None
    ]


def _latencies(report: ExportReport) -> str:
    ratio = report.latency_ratio
    text = markdown_table(_LATENCY_TITLES, _latency_rows(report))
    if ratio is None:
        return text
    return f"{text}\n\nMeasured in turns; {ratio:.2f} of float32."


def shape_text(inputs: dict[str, Any]) -> str:
    """Return shape, type and meaning of an input in words."""
    sizes = ", ".join("any" if size is None else str(size) for size in inputs["shape"])
    text = f"({sizes}) {inputs['dtype']}, {inputs['values']}"
    return f"{text}: {_scale_text(inputs)}" if "scale" in inputs else text


def output_text(report: ExportReport) -> str:
    """Return the output of a file in words."""
    texts = [report.output]
    if "scale" in report.outputs:
        texts.append(f"{report.outputs['dtype']}: {_scale_text(report.outputs)}")
    if "threshold" in report.outputs:
        texts.append(f"the second class above {report.outputs['threshold']}")
    if "thresholds" in report.outputs:
        low, high = min(report.outputs["thresholds"]), max(report.outputs["thresholds"])
        texts.append(f"each class a yes or no, from {low:.4g} to {high:.4g} on")
    return ", ".join(texts)


def _scale_text(given: dict[str, Any]) -> str:
    return f"{given['scale']:.6g} * (integer - {given['zero_point']})"
