"""Temperature scaling: probabilities that say how often they are right.

N pictures, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from keras_vit.calibration_error import expected_calibration_error
from keras_vit.heads.cross_validation import Labelled, Trial, probabilities
from keras_vit.heads.logistic_regression import Kind

_BOUNDS = (0.1, 10.0)
_MIN_ERRORS = 2.0  # standard errors, by which the loss must get lower


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """What logits are divided by, and what that changes.

    Args:
        value: above 0; 1 where another one would not be better.
        error_before: expected calibration error of the logits as they are.
        error: of the logits divided by temperatures, each picture by that of the
            others.
        loss_before: mean cross-entropy of the logits as they are, nats.
        loss: of the divided ones, as `error`.
        num_images: that these were measured on.
    """

    value: float
    error_before: float
    error: float
    loss_before: float
    loss: float
    num_images: int

    def text(self) -> str:
        """Return one line for people."""
        was = f"expected calibration error {self.error_before:.3f}"
        if self.value == 1.0:
            return f"Temperature 1, as it is: {was}; no other is clearly better"
        return f"Temperature {self.value:.3g}: {was} before, {self.error:.3f} with it"


def calibrated(trial: Trial, labelled: Labelled) -> tuple[Trial, Temperature]:
    """Return a trial with the probabilities of the best temperature, and that one."""
    logits = logits_of(trial.probabilities, labelled.kind)
    found = find_temperature(
        logits, labelled.targets, labelled.weights, labelled.folds, labelled.kind
    )
    scaled = probabilities(logits / found.value, labelled.kind).astype("float32")
    return replace(trial, probabilities=scaled), found


def find_temperature(
    logits: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    folds: np.ndarray,
    kind: Kind = "softmax",
) -> Temperature:
    """Return the temperature with the lowest mean cross-entropy, from 0.1 to 10.

    It is tried by cross-validation first: pictures are judged by the temperature of the
    other folds. Unless the calibration error gets lower there, and the loss by more
    than chance (twice the standard error of its mean), it is 1, and probabilities stay
    as they are.

    Args:
        logits: of pictures that the model was not trained on, (N, K).
        targets: 1 for what is on a picture, else 0, (N, K).
        weights: how much each picture counts, (N,).
        folds: number of the fold of each picture, int (N,).
        kind: "softmax" for one class per picture, "sigmoid" for any number, whose
            confidence in yes is compared with the share of yes over all classes.

    Reference: arXiv:1706.04599, section 4.2.
    """
    logits = logits.astype("float64")
    divided = logits.copy()
    numbers = np.unique(folds)
    if len(numbers) > 1:
        for fold in numbers:
            held, others = folds == fold, folds != fold
            rest = (logits[others], targets[others], weights[others], kind)
            divided[held] /= _best(*rest)
    share = weights / weights.sum()
    losses_before = _losses(logits, targets, kind)
    gains = losses_before - _losses(divided, targets, kind)
    loss_before, gain = float(share @ losses_before), float(share @ gains)
    noise = float(np.sqrt(share**2 @ (gains - gain) ** 2))
    error_before = calibration_error(logits, targets, weights, kind)
    error = calibration_error(divided, targets, weights, kind)
    is_better = gain > _MIN_ERRORS * noise and error < error_before
    return Temperature(
        value=_best(logits, targets, weights, kind) if is_better else 1.0,
        error_before=error_before,
        error=error if is_better else error_before,
        loss_before=loss_before,
        loss=loss_before - gain * is_better,
        num_images=len(logits),
    )


def logits_of(found: np.ndarray, kind: Kind) -> np.ndarray:
    """Return logits, float64 (N, K), that have these probabilities.

    Softmax forgets a number that all logits of a picture share, which no temperature
    depends on.
    """
    found = found.astype("float64")
    if kind == "sigmoid":
        found = np.clip(found, 1e-7, 1 - 1e-7)
        return np.log(found) - np.log1p(-found)
    return np.log(np.maximum(found, np.finfo("float32").tiny))


def calibration_error(
    logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, kind: Kind
) -> float:
    """Return the expected calibration error of the probabilities of logits (N, K)."""
    found = probabilities(logits, kind)
    if kind == "sigmoid":
        each = np.repeat(weights, found.shape[1])
        return expected_calibration_error(found.ravel(), targets.ravel(), each)
    rights = found.argmax(axis=1) == targets.argmax(axis=1)
    return expected_calibration_error(found.max(axis=1), rights, weights)


def _best(
    logits: np.ndarray, targets: np.ndarray, weights: np.ndarray, kind: Kind
) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda power: weights @ _losses(logits / np.exp(power), targets, kind),
        bounds=tuple(np.log(_BOUNDS)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))


def _losses(logits: np.ndarray, targets: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the cross-entropy of each picture, nats, (N,)."""
    if kind == "sigmoid":
        return (np.logaddexp(0.0, logits) - targets * logits).sum(axis=1)
    top = logits.max(axis=1, keepdims=True)
    sums = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return sums - (targets * logits).sum(axis=1)
