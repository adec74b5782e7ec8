"""Logistic regression on standardized features. N pictures, D features, K classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

# "softmax": one class per picture; "sigmoid": any number of classes per picture.
Kind = Literal["softmax", "sigmoid"]

_TOLERANCE = 1e-4  # of the gradient of the mean loss, as in scikit-learn
_MAX_STEPS = 500
# Features are read for the logits and again for their slopes, the second time from the
# cache of the processor: a step takes half as long.
_BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Linear:
    """A linear classifier of features as they are.

    Args:
        kernel: float64 (D, K).
        bias: float64 (K,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits, float32 (N, K), of features (N, D)."""
        kernel = self.kernel.astype("float32")
        return features @ kernel + self.bias.astype("float32")

    def divided(self, temperature: float) -> Linear:
        """Return the classifier whose logits are these, divided by a number."""
        return Linear(self.kernel / temperature, self.bias / temperature)


@dataclass(frozen=True)
class Standardized:
    """Features of mean 0 and variance 1, turned onto the axes that they span.

    Where there are fewer pictures than features, their best kernel is a sum of the
    pictures: N numbers say it, and the fit is as exact as with D of them.

    Args:
        values: float32 (N, R), R the smaller of N and D.
        axes: float32 (D, R), or None for R = D with the axes as they are.
        mean: float64 (D,).
        scale: float64 (D,); 1 where a feature is constant.
    """

    values: np.ndarray
    axes: np.ndarray | None
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Standardized:
        """Standardize features (N, D)."""
        mean = features.mean(axis=0, dtype="float64")
        scale = features.std(axis=0, dtype="float64")
        scale = np.where(scale > 1e-12, scale, 1.0)
        values = ((features - mean) / scale).astype("float32")
        if len(values) * 2 > values.shape[1]:
            return cls(values, None, mean, scale)
        products = values.astype("float64") @ values.T.astype("float64")
        sizes, vectors = np.linalg.eigh(products)
        spans = sizes > sizes[-1] * 1e-10
        lengths = np.sqrt(sizes[spans])
        axes = values.T @ (vectors[:, spans] / lengths)
        turned = vectors[:, spans] * lengths
        return cls(turned.astype("float32"), axes.astype("float32"), mean, scale)

    def linear(self, kernel: np.ndarray, bias: np.ndarray) -> Linear:
        """Return the classifier of the features as they were before."""
        if self.axes is not None:
            kernel = self.axes @ kernel
        kernel = kernel / self.scale[:, None]
        return Linear(kernel, bias - self.mean @ kernel)


def fit_path(
    features: Standardized,
    targets: np.ndarray,
    strengths: Sequence[float],
    weights: np.ndarray,
    kind: Kind = "softmax",
    tolerance: float = _TOLERANCE,
) -> Iterator[Linear]:
    """Yield the classifier for each strength of the penalty, each from the one before.

    It minimizes the weighted sum of the losses plus `strength / 2` times the sum of the
    squares of the kernel of the standardized features, by L-BFGS. scikit-learn's C is
    `1 / strength`.

    Args:
        features: that the classifier is fitted on.
        targets: share of each class, float (N, K).
        strengths: above 0, best from strong to weak; a list may grow meanwhile.
        weights: of each picture, float (N,).
        kind: "softmax" or "sigmoid".
        tolerance: of the gradient of the mean loss. Default 1e-4.

    Reference: scikit-learn's `LogisticRegression`, which has the same minimum.
    """
    from scipy.optimize import minimize

    values = features.values
    count, classes = targets.shape
    total = float(weights.sum())
    weights32 = weights.astype("float32")[:, None]
    targets32 = targets.astype("float32")
    parameters = np.zeros((values.shape[1] + 1) * classes)
    step = max(1, _BLOCK_BYTES // values[:1].nbytes)
    blocks = [slice(start, start + step) for start in range(0, count, step)]

    def loss(flat: np.ndarray, strength: float) -> tuple[float, np.ndarray]:
        kernel, bias = _split(flat, classes)
        kernel32, bias32 = kernel.astype("float32"), bias.astype("float32")
        value = 0.5 * strength * float((kernel**2).sum())
        gradient = np.zeros_like(flat)
        rows = gradient.reshape(-1, classes)
        rows[:-1] = strength * kernel
        for block in blocks:
            logits = values[block] @ kernel32 + bias32
            losses, slopes = _losses(logits, targets32[block], kind)
            slopes *= weights32[block]
            value += float(weights[block] @ losses)
            rows[:-1] += values[block].T @ slopes
            rows[-1] += slopes.sum(axis=0, dtype="float64")
        return value / total, gradient / total

    for strength in strengths:
        found: Any = minimize(
            loss,
            parameters,
            args=(strength,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_STEPS, "gtol": tolerance, "ftol": 1e-9},
        )
        parameters = found.x
        yield features.linear(*_split(parameters, classes))


def _split(flat: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rows = flat.reshape(-1, classes)
    return rows[:-1], rows[-1]


def _losses(
    logits: np.ndarray, targets: np.ndarray, kind: Kind
) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of each picture, float64 (N,), and its slopes by the logits."""
    if kind == "sigmoid":
        probabilities = 0.5 + 0.5 * np.tanh(0.5 * logits)
        each = np.logaddexp(0.0, logits) - targets * logits
        return each.sum(axis=1, dtype="float64"), probabilities - targets
    logits = logits - logits.max(axis=1, keepdims=True)
    exponents = np.exp(logits)
    sums = exponents.sum(axis=1, keepdims=True)
    each = np.log(sums[:, 0]) - (targets * logits).sum(axis=1)
    return each.astype("float64"), exponents / sums - targets
