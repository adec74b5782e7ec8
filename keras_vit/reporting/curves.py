"""How far probabilities can be trusted, as curves. N answers, C classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_vit.calibration_error import NUM_BINS, bin_numbers
from keras_vit.intervals import wilson_interval

_COARSEST, _FINEST = 0.1, 10.0  # temperatures
_STEPS = 25  # of a search that keeps 0.618 of its interval in each


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationBin:
    """Answers that are about as sure.

    Args:
        low, high: confidences between which they are.
        count: how many answers.
        confidence: their mean.
        share: that are right.
        interval: of this share, 95 %.
    """

    low: float
    high: float
    count: int
    confidence: float
    share: float
    interval: tuple[float, float]


def calibration_curve(
    confidences: np.ndarray, rights: np.ndarray
) -> list[CalibrationBin]:
    """Return the bins of the expected calibration error that have an answer.

    Args:
        confidences: in [0, 1], (N,).
        rights: whether each answer is right, bool (N,).

    Reference: sklearn.calibration.calibration_curve, with 15 bins of equal width.
    """
    numbers = bin_numbers(confidences)
    counts = np.bincount(numbers, minlength=NUM_BINS)
    sums = np.bincount(numbers, np.asarray(confidences, "float64"), NUM_BINS)
    hits = np.bincount(numbers, np.asarray(rights, "float64"), NUM_BINS)
    return [
        CalibrationBin(
            low=i / NUM_BINS,
            high=(i + 1) / NUM_BINS,
            count=int(counts[i]),
            confidence=float(sums[i] / counts[i]),
            share=float(hits[i] / counts[i]),
            interval=wilson_interval(float(hits[i] / counts[i]), int(counts[i])),
        )
        for i in np.flatnonzero(counts)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How often answers are right if only the surest are given. K thresholds.

    Args:
        shares: of the pictures that get an answer, growing, (K,).
        accuracies: share of these answers that are right, (K,).
        confidences: from which on an answer is given, (K,).
    """

    shares: np.ndarray
    accuracies: np.ndarray
    confidences: np.ndarray

    def at_share(self, share: float) -> int:
        """Return the place of the smallest threshold that answers at least so many."""
        return int(np.searchsorted(self.shares, share - 1e-12))

    def at_accuracy(self, accuracy: float) -> int | None:
        """Return the place where most are answered and so many right; None if never."""
        found = np.flatnonzero(self.accuracies >= accuracy)
        return int(found[-1]) if len(found) else None


def coverage_curve(confidences: np.ndarray, rights: np.ndarray) -> Coverage:
    """Return how often answers are right at each confidence as a threshold.

    Args:
        confidences: (N,).
        rights: whether each answer is right, bool (N,).

    Reference: arXiv:1705.08500, section 2 (risk and coverage).
    """
    order = np.argsort(-confidences, kind="stable")
    values, hits = confidences[order], np.cumsum(rights[order])
    last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    answered = last + 1
    return Coverage(
        shares=answered / len(values),
        accuracies=hits[last] / answered,
        confidences=values[last].astype("float64"),
    )


def best_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature with the lowest mean cross-entropy, from 0.1 to 10.

    Args:
        probabilities: of each class, float (N, C); of sigmoids, of each yes.
        labels: class of each picture, int (N,); or bool (N, C) of sigmoids.

    Reference: arXiv:1706.04599, section 4.2.
    """
    logits = logits_of(probabilities, several=labels.ndim == 2)

    def loss(power: float) -> float:
        return _loss(logits / np.exp(power), labels)

    return float(np.exp(_lowest(loss, np.log(_COARSEST), np.log(_FINEST))))


def at_temperature(
    probabilities: np.ndarray, temperature: float, *, several: bool = False
) -> np.ndarray:
    """Return the probabilities of logits that are divided by a temperature, (N, C)."""
    logits = logits_of(probabilities, several=several) / temperature
    if several:
        return 0.5 + 0.5 * np.tanh(0.5 * logits)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def logits_of(probabilities: np.ndarray, *, several: bool) -> np.ndarray:
    """Return logits, float64 (N, C), that have these probabilities."""
    found = np.asarray(probabilities, "float64")
    if several:
        found = np.clip(found, 1e-7, 1 - 1e-7)
        return np.log(found) - np.log1p(-found)
    return np.log(np.maximum(found, np.finfo("float32").tiny))


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    if labels.ndim == 2:
        return float((np.logaddexp(0, logits) - labels * logits).mean())
    top = logits.max(axis=1)
    sums = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((sums - logits[np.arange(len(labels)), labels]).mean())


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one valley is lowest (golden section search)."""
    share = (5**0.5 - 1) / 2
    a, b = high - share * (high - low), low + share * (high - low)
    at_a, at_b = function(a), function(b)
    for _ in range(_STEPS):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - share * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + share * (high - low)
            at_b = function(b)
    return (low + high) / 2
