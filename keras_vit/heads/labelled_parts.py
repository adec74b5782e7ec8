"""What heads are compared on: labels, weights and folds. N pictures, K classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_vit.data.contents import drawn
from keras_vit.data.image_data import ImageData
from keras_vit.heads.cross_validation import Labelled, class_weights
from keras_vit.heads.head_folds import head_folds

# More than these say no more about the best penalty, and take long.
_MOST_COMPARED = 10_000


def labelled_parts(
    data: ImageData, weights: Any, folds: int, seed: int
) -> tuple[Labelled, np.ndarray]:
    """Return what is compared, and which of the training pictures that are.

    Args:
        data: its training part is divided.
        weights: as `class_weights` takes them.
        folds: at most so many parts.
        seed: of the parts.
    """
    targets = class_targets(data.train.labels, data.num_classes)
    # Of several classes a picture stands for the rarest, of none for one of its own.
    rarity = np.where(targets > 0, targets.sum(axis=0), np.inf)
    labels = np.where(targets.any(axis=1), rarity.argmin(axis=1), targets.shape[1])
    contents = getattr(data.train, "content", None)
    lots = _lots(contents, len(labels), seed)
    some = np.arange(len(labels))
    if len(labels) > _MOST_COMPARED:
        some = np.sort(_spread_over_classes(labels, lots)[:_MOST_COMPARED])
    groups = getattr(data.train, "groups", None)
    found = Labelled(
        targets=targets[some],
        kind="sigmoid" if data.is_multi_label else "softmax",
        weights=picture_weights(data, weights)[some],
        folds=head_folds(
            labels[some],
            folds,
            seed,
            None if contents is None else contents[some],
            None if groups is None else groups[some],
            (*data.class_names, "none of them"),
        ),
    )
    return found, some


def picture_weights(data: ImageData, wanted: Any) -> np.ndarray:
    """Return how much each training picture counts, mean 1, by its class and its own.

    Args:
        data: whose training part may have weights.
        wanted: as `class_weights` takes them.
    """
    targets = class_targets(data.train.labels, data.num_classes)
    own = getattr(data.train, "weights", None)
    weights = class_weights(targets, wanted) * (1.0 if own is None else own)
    return weights / weights.mean()


def class_targets(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the share of each class, float32 (N, K); several may be 1."""
    if labels.ndim == 2:
        return labels.astype("float32")
    return np.eye(num_classes, dtype="float32")[labels]


def _lots(contents: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    if contents is None:
        return np.random.default_rng(seed).permutation(count).astype("uint64")
    return drawn(contents, seed)


def _spread_over_classes(labels: np.ndarray, lots: np.ndarray) -> np.ndarray:
    """Return the numbers of the pictures, each class spread evenly over the order."""
    place = np.zeros(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = np.argsort(lots[members], kind="stable")
        place[members[order]] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")
