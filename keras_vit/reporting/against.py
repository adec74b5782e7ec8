"""Two models on the same pictures: what one gets right and the other does not."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.intervals import mcnemar, paired_difference
from keras_vit.pages.parts import name_cell, number_cell, section, table
from keras_vit.reporting.album import Album
from keras_vit.reporting.wording import number_of, percent, signed

_SHOWN = 12  # pictures of each kind
_CLASSES = 10
_CLEAR = 0.05  # p-value


def checked_against(answers: PictureAnswers, other: PictureAnswers | None) -> Any:
    """Return the answers of another model, if they are about the same pictures.

    Raises:
        ValueError: if they are not.
    """
    if other is None:
        raise ValueError(
            "The other evaluation does not know what its model says of each picture. "
            "Pass the model, or what keras_vit.evaluate returns."
        )
    same = (
        len(other.labels) == len(answers.labels)
        and other.is_multi_label == answers.is_multi_label
        and other.images.fingerprint == answers.images.fingerprint
        and all(_same_labels(answers, other))
    )
    if not same:
        raise ValueError(
            "Two models are compared on the same pictures with the same labels, "
            f"received evaluations of {len(answers.labels):,} and "
            f"{len(other.labels):,} pictures that differ. Pass the model itself: it is "
            "evaluated on the same pictures."
        )
    return other


def _same_labels(answers: PictureAnswers, other: PictureAnswers) -> Any:
    if answers.is_multi_label:
        return [answers.class_names == other.class_names]
    own, others = np.asarray(answers.class_names), np.asarray(other.class_names)
    return own[answers.labels] == others[other.labels]


def against_section(
    answers: PictureAnswers, other: PictureAnswers, name: str, album: Album
) -> str:
    """Return the comparison, with pictures.

    Args:
        answers: of the model that the report is about.
        other: of the other model.
        name: of the other model, plain text.
        album: of the pictures.
    """
    first, second = answers.rights, other.rights
    counts = {
        (a, b): int((first == a)[second == b].sum()) for a in (1, 0) for b in (1, 0)
    }
    only_first, only_second = counts[1, 0], counts[0, 1]
    p = mcnemar(only_first, only_second)
    # How much better this model is than the other one.
    gain, low, high = paired_difference(only_second, only_first, len(first))
    verdict = _verdict(gain, p)
    rows = [
        [
            name_cell(f"this model {a}"),
            number_cell(counts[i, 1]),
            number_cell(counts[i, 0]),
        ]
        for i, a in ((1, "right"), (0, "wrong"))
    ]
    body = [
        f'<p class="verdict"><b>{verdict}</b> Accuracy differs by '
        f"{signed(100 * gain, 1)} points (95% interval {signed(100 * low, 1)} to "
        f"{signed(100 * high, 1)}); McNemar's exact test gives p = {_p(p)}.</p>",
        table(
            "Pictures by who is right",
            ["pictures", f"{escape(name)} right", f"{escape(name)} wrong"],
            rows,
        ),
        *_by_class(answers, other, name),
        *_only("Only this model is right", answers, other, first & ~second, album),
        *_only(f"Only {name} is right", answers, other, second & ~first, album),
    ]
    lead = f"On the same {number_of(len(first), 'picture')}, next to {escape(name)}."
    return section("comparison", "Next to the other model", body, lead)


def _by_class(answers: PictureAnswers, other: PictureAnswers, name: str) -> list[str]:
    """Return the classes of which one model finds more pictures than the other."""
    if answers.is_multi_label:
        return []
    count = len(answers.class_names)
    images, first, second = (
        np.bincount(answers.labels, weights, count)
        for weights in (None, answers.rights, other.rights)
    )
    order = np.argsort(-np.abs(first - second), kind="stable")
    rows = []
    for i in order[:_CLASSES]:
        if first[i] != second[i]:
            total, gain = int(images[i]), float(first[i]) - float(second[i])
            shares = [float(hits[i]) / total for hits in (first, second)]
            rows.append(
                [
                    name_cell(answers.class_names[int(i)]),
                    number_cell(total),
                    *(number_cell(x, percent(x), bar_of=x) for x in shares),
                    number_cell(gain, signed(gain)),
                ]
            )
    if not rows:
        return []
    head = ["class", "pictures", "recall", f"recall of {escape(name)}", "difference"]
    caption = "Recall by class, the largest differences in pictures first"
    return [table(caption, head, rows)]


def shown_against(answers: PictureAnswers, other: PictureAnswers) -> list[int]:
    """Return the pictures that the comparison shows."""
    first, second = answers.rights, other.rights
    return [*_surest(answers, first & ~second), *_surest(other, second & ~first)]


def _surest(answers: PictureAnswers, wanted: np.ndarray) -> list[int]:
    order = np.argsort(-answers.confidences, kind="stable")
    return [int(n) for n in order if wanted[n]][:_SHOWN]


def _only(
    title: str,
    answers: PictureAnswers,
    other: PictureAnswers,
    wanted: np.ndarray,
    album: Album,
) -> list[str]:
    count = int(wanted.sum())
    head = f'<h3>{escape(title)} <span class="quiet">{count:,}</span></h3>'
    if not count:
        return [head, '<p class="empty">No picture.</p>']
    better = answers if answers.rights[wanted].all() else other
    shots = []
    for n in _surest(better, wanted):
        label = answers.named(n)
        wrong = other.answered(n) if better is answers else answers.answered(n)
        said = f"Picture of {label}, taken for {wrong} by one of both models"
        caption = (
            f'<b class="right">{escape(label)}</b>'
            f'<span class="truth">not {escape(wrong)}</span>'
        )
        shots.append(album.figure(n, said, caption))
    return [head, f'<div class="shots">{"".join(shots)}</div>']


def _verdict(gain: float, p: float) -> str:
    if p >= _CLEAR:
        return "These pictures do not tell which of both is better."
    return "This model is better." if gain > 0 else "The other model is better."


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
