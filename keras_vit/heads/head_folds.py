"""The folds of a cross-validation. N pictures."""

from __future__ import annotations

import numpy as np

from keras_vit.data.splits import fold_numbers


def head_folds(
    labels: np.ndarray,
    folds: int,
    seed: int,
    contents: np.ndarray | None,
    groups: np.ndarray | None,
    names: tuple[str, ...],
) -> np.ndarray:
    """Return the fold of each picture, of no more folds than the rarest class allows.

    A class of one picture cannot be divided: it is left out of the training for once.

    Args:
        labels: class of each picture, int (N,).
        folds: at most so many, at least 2.
        seed: of the draw.
        contents: of each picture, uint64 (N,); equal ones are in the same fold.
        groups: of each picture, (N,); those of a group are in the same fold.
        names: of the classes, for errors.

    Raises:
        ValueError: if no class has two pictures, or groups, that can be apart.
    """
    one_by_one = np.arange(len(labels)) if contents is None else contents
    units = np.unique(one_by_one if groups is None else groups, return_inverse=True)[1]
    # How many units, such as different pictures, a class can be divided into.
    pairs = np.unique(np.stack([labels, units], axis=1), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=labels.max() + 1)
    several = counts[labels] > 1
    if not several.any():
        raise ValueError(
            "Cross-validation needs a class with two pictures, or two groups, or more; "
            "received one of each class. Add pictures."
        )
    parts = max(2, min(folds, int(counts[counts > 1].min())))
    found = np.zeros(len(labels), int)
    found[several] = fold_numbers(
        labels[several],
        parts,
        seed,
        None if contents is None else contents[several],
        None if groups is None else groups[several],
        names,
    )
    return found
