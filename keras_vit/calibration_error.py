"""How far probabilities are from how often they are right. N answers."""

from __future__ import annotations

import numpy as np

NUM_BINS = 15


def expected_calibration_error(
    confidences: np.ndarray, rights: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the expected calibration error: 0 if what is given 0.8 is right in 80 %.

    Answers are put into 15 bins of equal width by their confidence. In each bin the
    mean confidence is compared with the share that is right; the result is the mean of
    these differences, each bin counting by its answers.

    Args:
        confidences: in [0, 1], (N,), N at least 1.
        rights: whether each answer is right, bool (N,).
        weights: how much each answer counts, (N,). Default None: all the same.

    Reference: arXiv:1706.04599, equations 2 to 5.
    """
    confidences = np.asarray(confidences, "float64")
    weights = np.ones(len(confidences)) if weights is None else weights
    bins = bin_numbers(confidences)
    differences = np.bincount(bins, weights * (confidences - rights), NUM_BINS)
    return float(np.abs(differences).sum() / weights.sum())


def bin_numbers(confidences: np.ndarray) -> np.ndarray:
    """Return the bin of each confidence, int (N,): the upper border belongs to it.

    The first bin holds its lower border, too.
    """
    found = np.ceil(np.asarray(confidences, "float64") * NUM_BINS).astype(int) - 1
    return np.clip(found, 0, NUM_BINS - 1)
