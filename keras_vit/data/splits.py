"""Divide a data set into disjoint parts with the same share of each class."""

from __future__ import annotations

from numbers import Real

import numpy as np


def stratified_split(
    labels: np.ndarray, fractions: dict[str, float], seed: int = 0
) -> dict[str, np.ndarray]:
    """Draw disjoint parts of a data set, class by class.

    Each part receives the nearest whole number to its share of each class; what is left
    is called "train" and keeps at least one image of each class.

    Args:
        labels: class of each image, (N,).
        fractions: name of each part to its share of all images, each in [0, 1), the sum
            below 1.
        seed: of the draw, a whole number of at least 0. The same seed gives the same
            parts on each machine.

    Returns:
        The sorted indices of each part, "train" included.

    Raises:
        TypeError: if a share is not a number.
        ValueError: if a share is out of range.
    """
    for name, share in fractions.items():
        if isinstance(share, bool) or not isinstance(share, Real):
            raise TypeError(
                f"The share of {name} must be a number, received {share!r}."
            )
    total = sum(fractions.values())
    if any(not 0 <= share < 1 for share in fractions.values()) or total >= 1:
        raise ValueError(
            "The shares that are held out must be at least 0 and together below 1, "
            f"received {fractions}. Leave something to train on."
        )
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in (*fractions, "train")}
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        for name, share in fractions.items():
            count = min(
                int(share * len(labels[labels == label]) + 0.5), len(members) - 1
            )
            parts[name].append(members[:count])
            members = members[count:]
        parts["train"].append(members)
    return {name: np.sort(np.concatenate(part)) for name, part in parts.items()}
