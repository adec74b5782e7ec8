"""Likely wrong labels and outliers, by the features of a model.

Wrong labels are found by confident learning (Northcutt et al., arXiv:1911.00068): a
classifier that has not seen a picture is as sure of another class as it is of the
pictures of that class on average.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_vit.heads.cross_validation import Labelled, cross_validate
from keras_vit.heads.head_folds import head_folds

_FOLDS = 5
_NEIGHBOURS = 10
# Robust standard deviations above the median from which on a picture is an outlier.
_FAR = 5.0
_BLOCK = 2048


def out_of_fold(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    seed: int = 0,
) -> tuple[str, np.ndarray] | None:
    """Return what a head says of pictures that it has not seen, as `fit_head` fits it.

    Copies of a picture are in one fold: else one with a wrong label would vouch for the
    other. The features and the strength of the penalty are those of the lowest loss.

    Args:
        features: each kind of them by its name, float (N, D).
        labels: int (N,), 0 to K - 1, each of them there.
        groups: int (N,), equal for copies of a picture.
        seed: of the folds.

    Returns:
        The kind of features and probabilities, float (N, K); None where a class has
        fewer pictures than two folds need.
    """
    names = tuple(map(str, np.unique(labels)))
    units = [len(np.unique(groups[labels == label])) for label in np.unique(labels)]
    if len(units) < 2 or min(units) < 2:
        return None
    labelled = Labelled(
        targets=np.eye(len(units), dtype="float32")[labels],
        weights=np.ones(len(labels)),
        folds=head_folds(labels, _FOLDS, seed, None, groups, names),
    )
    trials = [cross_validate(rows, labelled, name) for name, rows in features.items()]
    best = min(trials, key=lambda trial: trial.loss)
    return best.features, best.probabilities


def tells_classes(probabilities: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether a classifier is better than naming the largest class each time.

    By more than chance: two standard deviations. Else its doubts say nothing of labels.
    """
    accuracy = np.mean(probabilities.argmax(1) == labels)
    largest = np.bincount(labels).max() / len(labels)
    return accuracy > largest + 2 * np.sqrt(largest * (1 - largest) / len(labels))


def likely_wrong(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the pictures whose label is likely wrong, the surest first.

    Args:
        probabilities: out of fold, (N, K).
        labels: int (N,), each class there.
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    classes = range(probabilities.shape[1])
    # How sure the classifier is of a class, on average over the pictures called so.
    usual = np.array([probabilities[labels == c, c].mean() for c in classes])
    sure = np.where(probabilities >= usual, probabilities, 0)
    other = sure.argmax(1)
    is_wrong = (sure[rows, other] > 0) & (other != labels)
    # Not where its own class is as likely.
    is_wrong &= probabilities.argmax(1) != labels
    wrong = np.flatnonzero(is_wrong)
    margin = own[wrong] - probabilities[wrong].max(1)
    return wrong[np.argsort(margin, kind="stable")]


def outliers(features: np.ndarray) -> np.ndarray:
    """Return the pictures that are far from all others, the farthest first.

    The distance is one less the cosine, in the mean over the nearest neighbours; far is
    what is far out of the distribution of the logarithms of these distances.

    Args:
        features: float (N, D).
    """
    if len(features) < 4 * _NEIGHBOURS:
        return np.zeros(0, "int64")
    centred = features - features.mean(0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = (centred / np.maximum(lengths, 1e-12)).astype("float32")
    distances = []
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, rows + start] = -1
        nearest = np.partition(-cosines, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
        distances.append((1 + nearest).mean(1))
    logs = np.log(np.concatenate(distances) + 1e-6)
    centre = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - centre)) + 1e-6
    far = np.flatnonzero(logs > centre + _FAR * spread)
    return far[np.argsort(-logs[far], kind="stable")]
