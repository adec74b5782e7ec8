"""Accuracy for class numbers and class probabilities; F1 and AP for several labels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.training.loss import check_label_shape


@keras.saving.register_keras_serializable(package="keras_vit")
class Accuracy(keras.metrics.MeanMetricWrapper):
    """Share of the images whose highest logit is that of the right class.

    Keras has one metric for class numbers and another for probabilities; mixed training
    images have the latter, where the most probable class is the right one. A model with
    one output says yes or no; labels are 0 and 1, or the probability of yes.

    Args:
        name: of the metric. Default "accuracy".
        dtype: of the sums. Default: Keras's.
        from_logits: whether a single output is a logit (default), which says yes above
            0, or a probability, which does above one half.
    """

    def __init__(
        self, name: str = "accuracy", dtype: Any = None, from_logits: bool = True
    ) -> None:
        super().__init__(fn=hits, name=name, dtype=dtype, from_logits=from_logits)
        self.from_logits = from_logits

    def get_config(self) -> dict[str, Any]:
        own = {"name": self.name, "dtype": self.dtype}
        return {**own, "from_logits": self.from_logits}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Accuracy:
        """Make the metric that `get_config` described."""
        return cls(**config)


def hits(y_true: Any, y_pred: Any, from_logits: bool = True) -> Any:
    """Return 1 for each image that is classified right, else 0, (B,)."""
    check_label_shape(y_true, y_pred)
    if y_pred.shape[-1] == 1:
        is_yes = ops.reshape(y_pred, (-1,)) > (0.0 if from_logits else 0.5)
        right = ops.reshape(ops.cast(y_true, "float32"), (-1,)) > 0.5
        return ops.cast(ops.equal(is_yes, right), "float32")
    if len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]:
        y_true = ops.argmax(y_true, axis=-1)
    classes = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    found = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
    return ops.cast(ops.equal(classes, found), "float32")


@keras.saving.register_keras_serializable(package="keras_vit")
class F1(keras.metrics.F1Score):
    """Mean over the classes of F1, where an image may have several labels.

    A class is found where its probability is above the threshold. A class with neither
    label nor answer counts as 0, as Keras has it; `f1_scores` leaves it out.

    Args:
        threshold: of the probabilities, (0, 1). Default 0.5.
        from_logits: whether the model returns logits (default) or probabilities.
        name: of the metric. Default "f1".
        dtype: of the sums. Default: Keras's.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        from_logits: bool = True,
        name: str = "f1",
        dtype: Any = None,
    ) -> None:
        super().__init__(average="macro", threshold=threshold, name=name, dtype=dtype)
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count labels (B, classes), 0 or 1, and outputs (B, classes)."""
        y_pred = ops.convert_to_tensor(y_pred)
        if self.from_logits:
            y_pred = ops.sigmoid(ops.cast(y_pred, "float32"))
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        own = {"name": self.name, "dtype": self.dtype, "threshold": self.threshold}
        return {**own, "from_logits": self.from_logits}


def average_precisions(labels: Any, scores: Any) -> np.ndarray:
    """Return the average precision of each class, (classes,), in [0, 1].

    The sum of precision times growth of recall over all thresholds; equal scores share
    one. A class without a label has none: its number is NaN.

    Args:
        labels: 0 or 1, (N, classes).
        scores: logits or probabilities, (N, classes); only their order counts.

    Raises:
        ValueError: if the shapes differ, or labels or scores are something else.

    Reference: sklearn.metrics.average_precision_score.
    """
    labels, scores = _checked(labels, scores, "scores")
    pairs = zip(labels.T, scores.T, strict=True)
    return np.array([_average_precision(*pair) for pair in pairs])


def mean_average_precision(labels: Any, scores: Any) -> float:
    """Return the mean of `average_precisions` over the classes that have a label.

    NaN if none has.
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
