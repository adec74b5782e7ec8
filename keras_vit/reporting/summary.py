"""The top of a report: the main numbers, and what stands out."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.pages.in_notebook import note, plain_table
from keras_vit.pages.parts import section, tiles
from keras_vit.reporting.class_scores import Confusions, confusions_of, mean
from keras_vit.reporting.copies import Copies
from keras_vit.reporting.curves import coverage_curve
from keras_vit.reporting.matrix import draw_matrix
from keras_vit.reporting.trust import how_sure
from keras_vit.reporting.wording import between, number_of, percent

_MOST_IN_MATRIX = 16  # classes of the matrix in a notebook
_SURE = 0.9  # a mistake with such a probability is a confident one
_LEFT_TO_A_PERSON = 0.9  # share of the pictures that still get an answer


def model_name(model: Any) -> str:
    """Return how a page calls a model: its file or folder, or what it is."""
    if isinstance(model, (str, Path)):
        path = Path(model).expanduser().resolve()
        return path.parent.name if path.stem == "model" else path.name
    return getattr(model, "name", None) or type(model).__name__


def data_name(answers: PictureAnswers) -> str:
    """Return how a page calls the data: the last part of its path."""
    return Path(answers.data.name).name or answers.data.name


def header(
    evaluation: Any,
    answers: PictureAnswers,
    confusions: Confusions | None,
    against: Any,
) -> str:
    """Return the name of the report and the main numbers.

    Args:
        evaluation: the `Evaluation`.
        answers: of it.
        confusions: None if a picture may have several labels.
        against: the `Evaluation` of another model, or None.
    """
    rights = answers.rights
    count, right = len(rights), int(rights.sum())
    part = "" if evaluation.part == "all" else f"{evaluation.part} "
    lead = (
        f"{right:,} of {number_of(count, f'{part}picture')} "
        f"{'is' if right == 1 else 'are'} right."
    )
    warned = "".join(
        f'<p class="warning">{escape(text)}</p>'
        for text in _warnings(evaluation, against)
    )
    boxes = [*main_numbers(evaluation, confusions)]
    if against is not None:
        share = float(against.accuracy)
        boxes.insert(
            1, ("the other model", percent(share), f"95%: {between(share, count)}")
        )
    name = escape(model_name(answers.model))
    return (
        f'<header><p class="eyebrow">Error report</p><h1>{name} '
        f'<span class="quiet">on {escape(data_name(answers))}</span></h1>'
        f'<p class="lead">{lead}</p>{warned}{tiles(boxes)}</header>'
    )


def main_numbers(
    evaluation: Any, confusions: Confusions | None
) -> Iterator[tuple[str, str, str]]:
    """Yield the main numbers, the accuracy with its interval first, as `tiles`.

    Args:
        evaluation: the `Evaluation`.
        confusions: None if a picture may have several labels, or they are not known.
    """
    scores, share = evaluation.labels, float(evaluation.accuracy)
    kind = "accuracy" if scores is None else "all labels right"
    yield kind, percent(share), f"95%: {between(share, evaluation.num_images)}"
    if scores is not None:
        mean_precision = percent(scores.mean_average_precision)
        yield "mean average precision", mean_precision, "of the classes"
        yield "F1", percent(scores.f1_macro), f"all answers: {percent(scores.f1_micro)}"
    else:
        if confusions is not None:
            f1 = mean([row.f1 for row in confusions.rows])
            yield "F1", percent(f1), "mean of the classes"
        if evaluation.top5_accuracy is not None:
            yield "top 5", percent(evaluation.top5_accuracy), "right among five answers"
        if evaluation.rejected is not None:
            yield "rejected", percent(evaluation.rejected), "as none of these"
    error = evaluation.calibration_error
    if error is not None:
        yield "calibration error", f"{error:.3f}", "expected, 15 bins"
    yield "loss", f"{evaluation.loss:.3f}", "cross-entropy, nats"


def in_notebook(evaluation: Any) -> Iterator[str]:
    """Yield what a notebook shows of an `Evaluation`: numbers, and what is confused."""
    answers, scores = evaluation.answers, evaluation.labels
    confusions = None
    if answers is not None and scores is None:
        confusions = confusions_of(answers)
    part = "" if evaluation.part == "all" else f"{evaluation.part} "
    yield note(f"on {number_of(evaluation.num_images, f'{part}picture')}")
    yield from (note(text, "warning") for text in _warnings(evaluation, None))
    yield tiles(main_numbers(evaluation, confusions))
    if scores is not None:
        titles = ("class", "pictures", "average precision", "F1", "threshold")
        yield plain_table(
            "Each class", titles, [_class_cells(r) for r in scores.classes]
        )
    elif confusions is not None and len(confusions.drawn) <= _MOST_IN_MATRIX:
        rows = [confusions.rows[int(number)] for number in confusions.drawn]
        yield draw_matrix(confusions.matrix, rows, np.arange(len(rows)))
    elif confusions is not None:
        names = [row.name for row in confusions.rows]
        yield plain_table(
            "Most often confused",
            ("label", "answer", "pictures", "of its class"),
            [
                (names[one.label], names[one.answer], one.count, percent(one.share))
                for one in confusions.pairs
            ],
            most=10,
        )


def _class_cells(row: Any) -> tuple[object, ...]:
    scores = (row.average_precision, row.f1, row.threshold)
    shown = ["–" if score is None else f"{score:.3f}" for score in scores]
    return row.class_name, f"{row.num_images:,}", *shown


def _warnings(evaluation: Any, against: Any) -> Iterator[str]:
    for who, one in (("The", evaluation), ("The other", against)):
        if one is not None and one.num_trained_on and one.part != "train":
            count = number_of(one.num_trained_on, "picture")
            yield f"{who} model was trained on {count} of these: it looks too good."
    missing = evaluation.classes_without_images
    if missing:
        listed = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        count = number_of(len(missing), "class has", "classes have")
        yield f"{count} no picture here, and no part in the numbers: {listed}."


def summary_section(
    answers: PictureAnswers, confusions: Confusions | None, copies: Copies
) -> str:
    """Return in some sentences what a reader should know."""
    found = [*_about_mistakes(answers, confusions)]
    sure = escape(how_sure(answers))
    found.append(f'{sure} <a href="#calibration">Calibration</a>')
    if not answers.is_multi_label and not answers.rights.all():
        curve = coverage_curve(answers.confidences, answers.rights)
        place = curve.at_share(_LEFT_TO_A_PERSON)
        found.append(
            f"Of the surest {percent(float(curve.shares[place]), 0)} of the answers, "
            f"{percent(float(curve.accuracies[place]))} are right. "
            '<a href="#coverage">Coverage</a>'
        )
    if copies.num_leaked:
        leaked = number_of(copies.num_leaked, "picture is", "pictures are")
        found.append(f'{leaked} in training, too. <a href="#copies">Copies</a>')
    items = "".join(f"<li>{one}</li>" for one in found)
    body = [f'<ul class="findings">{items}</ul>']
    return section("summary", "What stands out", body)


def _about_mistakes(
    answers: PictureAnswers, confusions: Confusions | None
) -> Iterator[str]:
    rights = answers.rights
    wrong = int((~rights).sum())
    if not wrong:
        yield (
            f"No mistake in {number_of(len(rights), 'picture')}. So few say that it is "
            f"right in {between(1.0, len(rights))}."
        )
        return
    if confusions is None:
        some = number_of(wrong, "picture has", "pictures have")
        yield f"{some} a label too many or too few."
        return
    if confusions.pairs:
        names, pair = answers.class_names, confusions.pairs[0]
        yield (
            f"<b>{escape(names[pair.label])}</b> is taken for "
            f"<b>{escape(names[pair.answer])}</b> most often: {pair.count:,} times, "
            f'{percent(pair.share)} of its pictures. <a href="#pairs">Pictures</a>'
        )
    judged = [row for row in confusions.rows if row.num_images and row.f1 is not None]
    if len(judged) > 2:
        worst = min(judged, key=lambda row: (row.f1, row.name))
        yield (
            f"The hardest class is <b>{escape(worst.name)}</b>: "
            f"{percent(worst.recall)} of its {number_of(worst.num_images, 'picture')} "
            f"{'is' if worst.num_images == 1 else 'are'} found, F1 "
            f'{percent(worst.f1)}. <a href="#classes">Classes</a>'
        )
    sure = int((~rights & (answers.confidences >= _SURE)).sum())
    if sure:
        yield (
            f"Of {number_of(wrong, 'mistake')}, {sure:,} "
            f"{'is' if sure == 1 else 'are'} made with a probability of "
            f'{percent(_SURE, 0)} or more. <a href="#mistakes">Look at them</a>'
        )
