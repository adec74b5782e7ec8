"""How good answers are where an image may have several labels. N images.

Reference: scikit-learn, whose numbers these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScore:
    """How good the answers for one class are.

    Args:
        class_name: of the class.
        num_images: that have this label.
        average_precision: over all thresholds; None if no image has the label.
        f1: at the threshold; None if there is neither a label nor an answer.
        threshold: from which on the answer is yes.
    """

    class_name: str
    num_images: int
    average_precision: float | None
    f1: float | None
    threshold: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelScores:
    """How good answers are where an image may have several labels.

    Args:
        mean_average_precision: mean of the classes that have an image; None if none
            has.
        f1_macro: mean of F1 of the classes that have one.
        f1_micro: F1 of all answers together.
        classes: each class at its threshold.
    """

    mean_average_precision: float | None
    f1_macro: float | None
    f1_micro: float | None
    classes: tuple[ClassScore, ...]

    def text(self) -> str:
        """Return part of a line for people."""
        return (
            f"mean average precision {_text(self.mean_average_precision)}, F1 "
            f"{_text(self.f1_macro)} (mean of the classes), "
            f"{_text(self.f1_micro)} (all answers)"
        )

    def table(self) -> str:
        """Return a line per class for people."""
        width = max(5, *(len(row.class_name) for row in self.classes))
        lines = [f"  {'class':<{width}}  images      AP      F1  threshold"]
        lines += [
            f"  {row.class_name:<{width}}  {row.num_images:>6,}  "
            f"{_text(row.average_precision):>6}  {_text(row.f1):>6}  "
            f"{row.threshold:>9.4f}"
            for row in self.classes
        ]
        return "\n".join(lines)


def label_scores(
    names: Sequence[str], labels: Any, probabilities: Any, thresholds: Any = 0.5
) -> tuple[LabelScores, float, float]:
    """Return how good answers are; the share of images that are all right; the loss.

    Args:
        names: of the classes.
        labels: 0 or 1, (N, classes).
        probabilities: of each class, (N, classes).
        thresholds: as for `f1_scores`.

    Returns:
        The scores; the share of the images of which each answer is right; and the
        binary cross-entropy, the mean of images and classes, nats.
    """
    labels, probabilities = _checked(labels, probabilities, "probabilities")
    precisions = average_precisions(labels, probabilities)
    f1 = f1_scores(labels, probabilities, thresholds)
    limits = np.broadcast_to(np.asarray(thresholds, "float64"), labels.shape[1:])
    answers = probabilities >= limits
    both = labels.sum() + answers.sum()
    certain = np.clip(probabilities, 1e-7, 1 - 1e-7)
    losses = np.where(labels, np.log(certain), np.log(1 - certain))
    found = LabelScores(
        mean_average_precision=_known(_mean(precisions)),
        f1_macro=_known(_mean(f1)),
        f1_micro=float(2 * (answers & labels).sum() / both) if both else None,
        classes=tuple(
            ClassScore(
                class_name=name,
                num_images=int(labels[:, i].sum()),
                average_precision=_known(precisions[i]),
                f1=_known(f1[i]),
                threshold=float(limits[i]),
            )
            for i, name in enumerate(names)
        ),
    )
    return found, float(np.mean((answers == labels).all(axis=1))), -float(losses.mean())


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def average_precisions(labels: Any, scores: Any) -> np.ndarray:
    """Return the average precision of each class, (classes,), in [0, 1].

    The sum of precision times growth of recall over all thresholds; equal scores share
    one. A class without a label has none: its number is NaN.

    Args:
        labels: 0 or 1, (N, classes).
        scores: logits or probabilities, (N, classes); only their order counts.

    Raises:
        ValueError: if the shapes differ, or labels or scores are something else.

    Example:
        ```python
        labels = np.array([[1, 0], [1, 1], [0, 1]])
        probabilities = np.array([[0.9, 0.2], [0.6, 0.7], [0.7, 0.4]])

        keras_vit.training.average_precisions(labels, probabilities).round(3)
        # array([0.833, 1.   ])
        ```

    Reference: sklearn.metrics.average_precision_score.
    """
    labels, scores = _checked(labels, scores, "scores")
    pairs = zip(labels.T, scores.T, strict=True)
    return np.array([_average_precision(*pair) for pair in pairs])


def precision_recall(
    labels: Any, scores: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and threshold of one class, each (thresholds,).

    Thresholds fall and recall grows; equal scores share a threshold.

    Args:
        labels: 0 or 1, (N,), at least one of them 1.
        scores: logits or probabilities, (N,).

    Reference: sklearn.metrics.precision_recall_curve, in the opposite order and
    without its last point.
    """
    labels, scores = _checked(
        np.asarray(labels)[:, None], np.asarray(scores)[:, None], "scores"
    )
    hits, answers, values = _curve(labels[:, 0], scores[:, 0])
    return hits / answers, hits / labels.sum(), values


def mean_average_precision(labels: Any, scores: Any) -> float:
    """Return the mean of `average_precisions` over the classes that have a label.

    NaN if none has.

    Args:
        labels: 0 or 1, (N, classes).
        scores: logits or probabilities, (N, classes); only their order counts.

    Raises:
        ValueError: if the shapes differ, or labels or scores are something else.

    Example:
        ```python
        labels = np.array([[1, 0], [1, 1], [0, 1]])
        probabilities = np.array([[0.9, 0.2], [0.6, 0.7], [0.7, 0.4]])

        found = keras_vit.training.mean_average_precision(labels, probabilities)
        round(found, 3)  # 0.917
        ```
    """
    return _mean(average_precisions(labels, scores))


def f1_scores(labels: Any, probabilities: Any, thresholds: Any = 0.5) -> np.ndarray:
    """Return F1 of each class, (classes,), in [0, 1]: 2 hits / (labels + answers).

    A class with neither label nor answer has none: its number is NaN.

    Args:
        labels: 0 or 1, (N, classes).
        probabilities: of each class, (N, classes).
        thresholds: at or above which the answer is yes; one number, or one for each
            class. Default 0.5.

    Raises:
        ValueError: if the shapes do not fit, or labels or scores are something else.

    Example:
        ```python
        labels = np.array([[1, 0], [1, 1], [0, 1]])
        probabilities = np.array([[0.9, 0.2], [0.6, 0.7], [0.7, 0.4]])

        keras_vit.training.f1_scores(labels, probabilities).round(3)
        # array([0.8  , 0.667])
        ```

    Reference: sklearn.metrics.f1_score.
    """
    labels, probabilities = _checked(labels, probabilities, "probabilities")
    limits = np.asarray(thresholds, "float64")
    if limits.shape not in ((), labels.shape[1:]):
        raise ValueError(
            f"thresholds must be one number or one for each of {labels.shape[1]} "
            f"classes, received shape {limits.shape}. Check the classes."
        )
    answers = probabilities >= limits
    hits = (answers & labels).sum(axis=0)
    both = labels.sum(axis=0) + answers.sum(axis=0)
    return np.where(both > 0, 2 * hits / np.maximum(both, 1), np.nan)


def best_thresholds(
    labels: Any, probabilities: Any, *, default: float = 0.5
) -> np.ndarray:
    """Return for each class the threshold with the highest F1, (classes,).

    Halfway between the last probability that is a yes and the next one below. Find
    them on pictures that are neither trained on nor used to judge the model.

    Args:
        labels: 0 or 1, (N, classes).
        probabilities: of each class, (N, classes).
        default: for a class without a label, of which nothing can be said.
            Default 0.5.

    Raises:
        ValueError: if the shapes differ, or labels or scores are something else.

    Example:
        ```python
        labels = np.array([[1, 0], [1, 1], [0, 1]])
        probabilities = np.array([[0.9, 0.2], [0.6, 0.7], [0.7, 0.4]])

        keras_vit.training.best_thresholds(labels, probabilities)
        # array([0.3, 0.3])
        ```

    Reference: arXiv:1402.1892 (the threshold that maximizes F1).
    """
    labels, probabilities = _checked(labels, probabilities, "probabilities")
    pairs = zip(labels.T, probabilities.T, strict=True)
    return np.array([_best_threshold(*pair, default) for pair in pairs])


def _average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    if not labels.any():
        return float("nan")
    hits, answers, _ = _curve(labels, scores)
    recall = np.concatenate([[0.0], hits / labels.sum()])
    return float(np.sum(np.diff(recall) * hits / answers))


def _best_threshold(labels: np.ndarray, scores: np.ndarray, default: float) -> float:
    if not labels.any():
        return default
    hits, answers, values = _curve(labels, scores)
    best = int(np.argmax(hits / (labels.sum() + answers)))
    below = values[best + 1] if best + 1 < len(values) else 0.0
    return float((values[best] + below) / 2)


def _curve(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hits, answers and score at each score as a threshold, falling."""
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(labels[order])
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    return hits[last], last + 1, scores[last]


def _checked(labels: Any, scores: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(ops.convert_to_numpy(labels))
    scores = np.asarray(ops.convert_to_numpy(scores), "float64")
    if labels.ndim != 2 or labels.shape != scores.shape or not len(labels):
        raise ValueError(
            f"Labels and {name} must have one shape, (N, classes), received "
            f"{labels.shape} and {scores.shape}. Labels are 0 or 1 for each class."
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(
            "Labels must be 0 or 1 for each class, received others, such as "
            f"{labels[~np.isin(labels, (0, 1))][0]}. Decide which classes are there."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{name} must be numbers, received {np.sum(~np.isfinite(scores))} that are "
            "not. Look at the pictures they belong to."
        )
    return labels.astype(bool), scores


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
