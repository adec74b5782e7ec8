"""What a classifier gets right and wrong, class by class. C classes, N pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_vit.inference.picture_answers import PictureAnswers

MOST_DRAWN = 400  # classes of a matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassRow:
    """How good the answers for one class are.

    Args:
        number: of the class.
        name: of the class.
        num_images: that are of this class.
        num_answers: pictures of which it is the answer.
        precision: share of these answers that are right; None if there is none.
        recall: share of its pictures that are found; None if there is none.
        f1: harmonic mean of both; None if there is neither picture nor answer.
    """

    number: int
    name: str
    num_images: int
    num_answers: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfusedPair:
    """Pictures of one class that are taken for another one.

    Args:
        label, answer: numbers of the classes.
        count: such pictures.
        share: of all pictures of the class.
    """

    label: int
    answer: int
    count: int
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusions:
    """What is right and wrong where a picture has one label.

    Args:
        rows: each class.
        pairs: of classes that are confused, the most frequent first.
        drawn: numbers of the classes of the matrix, int (D,): those with pictures or
            answers; of very many those with most mistakes.
        matrix: of `confusion_matrix` between them, int64 (D, D).
    """

    rows: list[ClassRow]
    pairs: list[ConfusedPair]
    drawn: np.ndarray
    matrix: np.ndarray


def confusions_of(answers: PictureAnswers) -> Confusions:
    """Return what a model gets right and wrong.

    There is no matrix of all classes: of 20,000 it would take gigabytes.
    """
    names, labels, given = answers.class_names, answers.labels, answers.answers
    count, rights = len(names), answers.rights
    images, said, hits = (
        np.bincount(numbers, minlength=count)
        for numbers in (labels, given, labels[rights])
    )
    wrong = images + said - 2 * hits
    used = np.flatnonzero(images + said)
    most = np.argsort(-wrong[used], kind="stable")[:MOST_DRAWN]
    drawn = np.sort(used[most])
    place = np.full(count, -1)
    place[drawn] = np.arange(len(drawn))
    inside = (place[labels] >= 0) & (place[given] >= 0)
    return Confusions(
        rows=class_rows(names, images, said, hits),
        pairs=confused_pairs(labels, given, images),
        drawn=drawn,
        matrix=confusion_matrix(
            place[labels[inside]], place[given[inside]], len(drawn)
        ),
    )


def confusion_matrix(
    labels: np.ndarray, answers: np.ndarray, num_classes: int
) -> np.ndarray:
    """Return how many pictures of each class got each answer, int64 (C, C).

    Rows are classes, columns are answers.

    Args:
        labels: class of each picture, int (N,).
        answers: class that is the answer, int (N,).
        num_classes: C.

    Reference: sklearn.metrics.confusion_matrix.
    """
    places = labels.astype("int64") * num_classes + answers
    counts = np.bincount(places, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def class_rows(
    names: Sequence[str],
    num_images: np.ndarray,
    num_answers: np.ndarray,
    hits: np.ndarray,
) -> list[ClassRow]:
    """Return how good the answers for each class are.

    Args:
        names: of the classes.
        num_images: pictures of each class, (C,).
        num_answers: answers that are each class, (C,).
        hits: those that are right, (C,).

    Reference: sklearn.metrics.precision_recall_fscore_support, with NaN where nothing
    can be said.
    """
    return [
        ClassRow(
            number=i,
            name=name,
            num_images=int(num_images[i]),
            num_answers=int(num_answers[i]),
            precision=_share(hits[i], num_answers[i]),
            recall=_share(hits[i], num_images[i]),
            f1=_share(2 * hits[i], num_images[i] + num_answers[i]),
        )
        for i, name in enumerate(names)
    ]


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of those that are known, None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def confused_pairs(
    labels: np.ndarray, answers: np.ndarray, num_images: np.ndarray
) -> list[ConfusedPair]:
    """Return each pair of classes that is confused, the most frequent first.

    Args:
        labels: class of each picture, int (N,).
        answers: class that is the answer, int (N,).
        num_images: pictures of each class, (C,).
    """
    wrong = labels != answers
    found, counts = np.unique(
        np.stack([labels[wrong], answers[wrong]]), axis=1, return_counts=True
    )
    pairs = [
        ConfusedPair(
            label=int(label),
            answer=int(answer),
            count=int(count),
            share=float(count / num_images[label]),
        )
        for label, answer, count in zip(*found, counts, strict=True)
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, -pair.share))


def near_order(matrix: np.ndarray) -> np.ndarray:
    """Return an order of the classes in which those that are confused are near.

    Classes are joined one by one, the two groups with the most confusion between their
    members first (average linkage), and laid end to end so that those that touch are
    the most alike. Classes that are never confused keep their order and come last.

    Args:
        matrix: of `confusion_matrix`, (C, C).

    Returns:
        Numbers of the classes, int (C,).

    Reference: R. Sokal and C. Michener (1958) for average linkage.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    alike = (shares + shares.T) / 2
    np.fill_diagonal(alike, 0)
    between = alike.copy()
    groups: list[list[int]] = [[i] for i in range(len(matrix))]
    sizes = np.ones(len(matrix))
    while between.size and between.max() > 0:
        a, b = (int(i) for i in np.unravel_index(between.argmax(), between.shape))
        groups[a] = _end_to_end(groups[a], groups[b], alike)
        groups[b] = []
        total = sizes[a] + sizes[b]
        joined = (sizes[a] * between[a] + sizes[b] * between[b]) / total
        between[a], between[:, a] = joined, joined
        between[a, a] = 0
        between[b], between[:, b] = 0, 0
        sizes[a] = total
    ordered = sorted((g for g in groups if g), key=lambda g: (len(g) == 1, -len(g)))
    return np.array([i for group in ordered for i in group], dtype=int)


def _end_to_end(first: list[int], second: list[int], alike: np.ndarray) -> list[int]:
    """Return two groups as one, turned so that the ends that touch are alike."""
    ways = [(a, b) for a in (first, first[::-1]) for b in (second, second[::-1])]
    a, b = max(ways, key=lambda way: alike[way[0][-1], way[1][0]])
    return [*a, *b]


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
