"""How far shares that were counted may be from the truth. N images."""

from __future__ import annotations

import math

_Z = 1.96  # of a normal distribution, for 95 %


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share of `count` images, at least one.

    Reference: E. B. Wilson, "Probable inference" (1927);
    scipy.stats.binomtest(...).proportion_ci(method="wilson").
    """
    centre = (share + _Z * _Z / (2 * count)) / (1 + _Z * _Z / count)
    half = _Z * math.sqrt(share * (1 - share) / count + _Z * _Z / (4 * count * count))
    half /= 1 + _Z * _Z / count
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(first: int, second: int) -> float:
    """Return the p-value of McNemar's exact test, in [0, 1].

    If two models were equally good, pictures that one of them gets right and the other
    one does not would fall to either like a coin: how likely is it that they differ as
    much as here, or more?

    Args:
        first: pictures that only the first model gets right.
        second: that only the second one gets right.

    Reference: Q. McNemar (1947), the exact binomial form; it is
    scipy.stats.binomtest(first, first + second).
    """
    count = first + second
    term = total = 1
    for k in range(min(first, second)):
        term = term * (count - k) // (k + 1)
        total += term
    return min(1.0, 2 * total / 2**count)


def paired_difference(
    first: int, second: int, count: int
) -> tuple[float, float, float]:
    """Return how much better the second of two models is, and its 95 % interval.

    Of accuracies on the same `count` images, by the normal approximation.

    Args:
        first: pictures that only the first model gets right.
        second: that only the second one gets right.
        count: all pictures.

    Reference: A. Agresti, "Categorical Data Analysis", section 11.1 (matched pairs).
    """
    difference = (second - first) / count
    variance = ((first + second) / count - difference**2) / count
    half = _Z * math.sqrt(max(variance, 0.0))
    return difference, max(-1.0, difference - half), min(1.0, difference + half)
