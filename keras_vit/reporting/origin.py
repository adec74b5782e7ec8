"""Where a report comes from: the training, the model, the command."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.inference.predictor import find_model
from keras_vit.pages.chart import Chart, legend, outside
from keras_vit.pages.parts import facts, scroll_box, section, unfold
from keras_vit.training.history import History, rank, read_history
from keras_vit.training.progress import macs_per_image
from keras_vit.version import __version__

_CARD = "README.md"
_MOST_NAMES = 30


def run_folder(model: Any) -> Path | None:
    """Return the folder that a model was read from, None of one in memory."""
    return find_model(model).parent if isinstance(model, (str, Path)) else None


def training_section(model: Any) -> str | None:
    """Return the curves of the run that made a model, None if there are none."""
    folder = run_folder(model)
    history = [] if folder is None else read_history(folder)
    if len(history) < 2:
        return None
    best = max(history, key=rank)
    measure = "f1" if any("f1" in row for row in history) else "accuracy"
    body = ['<div class="charts">']
    body += [_curves(history, name, best["epoch"]) for name in ("loss", measure)]
    body.append("</div>")
    lead = f"{len(history)} epochs; the model is that of epoch {best['epoch']:.0f}."
    return section("training", "How it was trained", body, lead)


def _curves(history: History, measure: str, best: float) -> str:
    kinds = (("other", measure, "training"), ("main", f"val_{measure}", "validation"))
    drawn = []
    for kind, key, said in kinds:
        rows = [row for row in history if key in row and np.isfinite(row[key])]
        if rows:
            drawn.append((kind, said, rows, key))
    if not drawn:
        return ""
    if len(drawn) == 1:
        drawn = [("main", *drawn[0][1:])]
    values = [row[key] for _, _, rows, key in drawn for row in rows]
    chart = Chart(
        x=(history[0]["epoch"], history[-1]["epoch"]),
        y=outside(min(values), max(values)),
        x_label="epoch",
        y_label=measure,
        whole=True,
    )
    x, bottom = chart.place(best, chart.y[0])
    _, top = chart.place(best, chart.y[1])
    parts = [f'<path class="mark" d="M{x:.1f} {bottom:.1f}V{top:.1f}"/>']
    for kind, _, rows, key in drawn:
        xs, ys = [row["epoch"] for row in rows], [row[key] for row in rows]
        parts.append(chart.line(xs, ys, kind))
    last = "; ".join(f"{said} {rows[-1][key]:.3g}" for _, said, rows, key in drawn)
    said = f"{measure} over {len(history)} epochs, at the end {last}"
    entries = legend([*((kind, name) for kind, name, _, _ in drawn), ("mark", "best")])
    return f'<figure class="plot">{chart.svg(parts, said)}{entries}</figure>'


def model_section(
    evaluation: Any, answers: PictureAnswers, model: Any, command: str | None
) -> str:
    """Return facts of the model and data, the model's card, and the command.

    Args:
        evaluation: the `Evaluation`.
        answers: of it.
        model: the Keras model if there is one.
        command: that made the report; None: not known.
    """
    body = [
        facts([*_of_model(answers, model), *_of_data(evaluation, answers), *_now()])
    ]
    folder = run_folder(answers.model)
    card = None if folder is None else folder / _CARD
    if card is not None and card.is_file():
        text = card.read_text(encoding="utf-8", errors="replace")
        body.append(unfold("The card of the model", [_code("Card of the model", text)]))
    if command:
        body.append("<h3>Made by</h3>")
        body.append(_code("The command that made this report", command))
    return section("model", "Model, data, and how this was made", body)


def _code(label: str, text: str) -> str:
    return scroll_box(label, f"<pre>{escape(text)}</pre>", "code")


def _of_model(answers: PictureAnswers, model: Any) -> Iterator[tuple[str, str]]:
    if isinstance(answers.model, (str, Path)):
        path = find_model(answers.model)
        yield "model", f"{escape(str(path))}, {_megabytes(path)}"
    if model is not None:
        macs = macs_per_image(model)
        more = f", {macs:,} multiply-accumulates per picture" if macs else ""
        yield "parameters", f"{model.count_params():,}{more}"
    steps = answers.preprocessing
    height, width = steps.image_size
    yield (
        "input",
        f"{height} × {width} pixels, {steps.channels} "
        f"channel{'s' * (steps.channels != 1)} ({escape(str(steps.resize))}, "
        f"{escape(str(steps.interpolation))}); mean {steps.mean}, std {steps.std}",
    )
    names = answers.class_names
    more = f", … ({len(names)})" if len(names) > _MOST_NAMES else ""
    yield "classes", escape(", ".join(names[:_MOST_NAMES])) + more


def _megabytes(path: Path) -> str:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:,.1f} MB"


def _of_data(evaluation: Any, answers: PictureAnswers) -> Iterator[tuple[str, str]]:
    yield "data", f"{escape(answers.data.name)}, part {escape(evaluation.part)}"
    yield "fingerprint", f"<code>{answers.images.fingerprint}</code>"


def _now() -> Iterator[tuple[str, str]]:
    backend = keras.backend.backend()
    versions = [f"keras3-vit {__version__}", f"Keras {keras.__version__}"]
    versions.append(f"{backend} {importlib.metadata.version(backend)}")
    versions += [f"NumPy {np.__version__}", f"Python {platform.python_version()}"]
    yield "versions", escape(", ".join(versions))
    yield "date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
