"""A report where a picture may have several labels. N pictures, C classes."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.label_scores import best_thresholds, precision_recall
from keras_vit.pages.chart import Chart
from keras_vit.pages.parts import name_cell, number_cell, section, table
from keras_vit.reporting.album import Album
from keras_vit.reporting.class_scores import class_rows
from keras_vit.reporting.classes import MOST_ROWS
from keras_vit.reporting.wording import number_of, percent

_TALL = 14  # rows from which a table scrolls by itself
_CURVES = 24  # of classes that are drawn
_SHOWN = 12  # pictures of a kind


def labels_section(evaluation: Any, answers: PictureAnswers) -> str:
    """Return average precision, precision, recall, F1 and thresholds of each class."""
    scores = evaluation.labels
    labels, given = answers.labels, answers.answers
    hits = (labels & given).sum(axis=0)
    rows = class_rows(answers.class_names, labels.sum(axis=0), given.sum(axis=0), hits)
    better = best_thresholds(labels, answers.probabilities)
    order = sorted(
        range(len(rows)),
        key=lambda i: (
            scores.classes[i].average_precision is None,
            scores.classes[i].average_precision,
        ),
    )
    lines = []
    for i in order[:MOST_ROWS]:
        row, one = rows[i], scores.classes[i]
        precision = one.average_precision
        shares = (precision, row.precision, row.recall, row.f1)
        lines.append(
            [
                name_cell(row.name),
                number_cell(row.num_images),
                *(number_cell(x, percent(x), bar_of=x) for x in shares),
                number_cell(one.threshold, f"{one.threshold:.3f}"),
                number_cell(*_better(float(better[i]), precision)),
            ]
        )
    said = number_of(len(lines), "class", "classes")
    said += f" of {len(rows):,}" * (len(rows) > len(lines))
    head = ["class", "pictures", "average precision", "precision", "recall", "F1"]
    head += ["threshold", "best here"]
    drawn = order[:_CURVES]
    curves = "".join(_curve(answers, scores, i) for i in drawn)
    body = [
        table(
            f"{said}, the hardest first",
            head,
            lines,
            kind="tall" if len(lines) > _TALL else "",
            sortable=True,
        ),
        "<h3>Precision over recall</h3>",
        f'<div class="small-charts">{curves}</div>',
    ]
    if len(order) > len(drawn):
        body.append(f'<p class="note">The {len(drawn)} hardest classes.</p>')
    lead = (
        "Precision, recall and F1 are those of the thresholds that the model has; the "
        "dot on each curve is there. The best threshold here has the highest F1 on "
        "these very pictures: choose one on others."
    )
    return section("classes", "Class by class", body, lead)


def _better(value: float, precision: float | None) -> tuple[float | None, str]:
    return (None, "") if precision is None else (value, f"{value:.3f}")


def _curve(answers: PictureAnswers, scores: Any, i: int) -> str:
    one = scores.classes[i]
    if one.average_precision is None:
        return ""
    labels, found = answers.labels[:, i], answers.probabilities[:, i]
    precision, recall, thresholds = precision_recall(labels, found)
    chart = Chart(
        x=(0, 1),
        y=(0, 1),
        x_label="recall",
        y_label="precision",
        percent=(True, True),
        width=220,
        height=190,
    )
    line = chart.line([0.0, *recall], [precision[0], *precision], "main")
    parts = [line]
    reached = np.flatnonzero(thresholds >= one.threshold)
    if len(reached):
        at = int(reached[-1])
        said = f"threshold {one.threshold:.3f}"
        parts.append(
            chart.dot(float(recall[at]), float(precision[at]), "main", said, 5)
        )
    name = escape(one.class_name)
    shown = percent(one.average_precision)
    said = f"Precision over recall of {one.class_name}, average precision {shown}"
    return (
        f'<figure class="plot"><figcaption><b>{name}</b> {shown}</figcaption>'
        f"{chart.svg(parts, said)}</figure>"
    )


def shown_of_several(answers: PictureAnswers) -> dict[str, list[tuple[int, int]]]:
    """Return the pictures, each with a class, that tell most of where a model errs."""
    found, labels = answers.probabilities, answers.labels
    limits = np.broadcast_to(np.asarray(answers.thresholds), found.shape)
    wrong_yes, wrong_no = answers.answers & ~labels, ~answers.answers & labels
    distance = np.abs(found - limits)
    return {
        "yes": _first(np.where(wrong_yes, found, -1.0), -1.0),
        "no": _first(np.where(wrong_no, 1 - found, -1.0), -1.0),
        "unsure": _first(1 - distance, -1.0),
    }


def _first(values: np.ndarray, none: float) -> list[tuple[int, int]]:
    """Return the places of the highest values, each picture once."""
    order = np.argsort(-values.ravel(), kind="stable")
    found: dict[int, int] = {}
    for place in order[: 50 * _SHOWN]:
        number, i = divmod(int(place), values.shape[1])
        if values[number, i] == none or len(found) == _SHOWN:
            break
        found.setdefault(number, i)
    return [*found.items()]


def mistakes_sections(
    answers: PictureAnswers, album: Album, shown: dict[str, list[tuple[int, int]]]
) -> list[str]:
    """Return labels that are wrongly given, that are missed, and that are unsure."""
    titles = {
        "yes": (
            "mistakes",
            "Labels given by mistake",
            "The surest first. Often it is the label of the data that is missing.",
        ),
        "no": ("missed", "Labels that are missed", "The surest first."),
        "unsure": (
            "least-sure",
            "The least sure pictures",
            "Next to the threshold, whichever side they came to.",
        ),
    }
    found = []
    for kind, (name, title, lead) in titles.items():
        body = [_figures(answers, album, shown[kind])]
        if not shown[kind]:
            body = ['<p class="empty">None: nothing to show.</p>']
        found.append(section(name, title, body, lead if shown[kind] else ""))
    return found


def _figures(
    answers: PictureAnswers, album: Album, shown: list[tuple[int, int]]
) -> str:
    shots = []
    for number, i in shown:
        name, sure = answers.class_names[i], float(answers.probabilities[number, i])
        right = answers.answers[number, i] == answers.labels[number, i]
        kind = "right" if right else "wrong"
        label = answers.named(number)
        said = f"Picture with the labels {label}; {name} has {percent(sure, 0)}"
        caption = (
            f'<b class="{kind}">{escape(name)}</b> {percent(sure, 0)}'
            f'<span class="truth">labels: {escape(label)}</span>'
        )
        shots.append(album.figure(number, said, caption, i))
    return f'<div class="shots">{"".join(shots)}</div>'
