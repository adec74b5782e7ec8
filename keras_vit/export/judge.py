"""Compare what a file computes with the Keras model, and refuse what is worse."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from keras_vit.export.evaluation import Shown
from keras_vit.export.quantizations import FLOAT32, QUANTIZATIONS

MAX_LOSS = 0.01


def compare(
    expected: np.ndarray,
    actual: np.ndarray,
    shown: Shown,
    quantization: str,
    output: str = "logits",
) -> dict[str, Any]:
    """Return the fields of a report that compare outputs, (N, K) each.

    Args:
        expected: of the Keras model.
        actual: of the file.
        shown: what both were computed from.
        quantization: precision of the file.
        output: name of the output: "logits", "probabilities" or "features".
    """
    right, found_classes = (_classes(rows, output) for rows in (expected, actual))
    accuracies = {}
    if shown.labels is not None:
        accuracies = {
            "accuracy": float(np.mean(found_classes == shown.labels)),
            "model_accuracy": float(np.mean(right == shown.labels)),
        }
    found = {
        "num_images": len(expected),
        "source": shown.source,
        "max_difference": float(np.max(np.abs(expected - actual))),
        "top1_agreement": float(np.mean(right == found_classes)),
        **accuracies,
    }
    return {**found, "warnings": _warnings(found, expected, quantization)}


def _classes(outputs: np.ndarray, output: str) -> np.ndarray:
    """Return the class of each row, (N,); a single output says yes or no."""
    if outputs.shape[-1] > 1:
        return outputs.argmax(-1)
    return (outputs[..., 0] > (0.5 if output == "probabilities" else 0.0)).astype(int)


def _warnings(
    found: dict[str, Any], expected: np.ndarray, quantization: str
) -> tuple[str, ...]:
    warnings = []
    if float(np.ptp(expected, axis=0).max()) == 0.0:
        warnings.append(
            "The model gives the same output for each image (an untrained head is "
            "zero), so this comparison says little. Export a trained model."
        )
    if found["source"] == "digits" and quantization != FLOAT32:
        warnings.append(
            f"What {quantization} loses was looked at on {found['num_images']} "
            f"embedded digits only (top-1 agreement {found['top1_agreement']:.2%}), "
            "which says little about other pictures. Pass evaluation= (--data), or "
            "images= (--images), like those in use."
        )
    return tuple(warnings)


def check_exact(
    found: dict[str, Any], expected: np.ndarray, actual: np.ndarray, tolerance: float
) -> None:
    """Raise a RuntimeError if a file in float32 computes something else.

    Args:
        found: by `compare`.
        expected: outputs of the Keras model, which scale the tolerance.
        actual: outputs of the file.
        tolerance: largest difference, relative to the largest output or 1.
    """
    difference = found["max_difference"]
    allowed = tolerance * max(1.0, float(np.max(np.abs(expected))))
    if not difference <= allowed:
        raise RuntimeError(
            f"The exported file computes something else than the model: largest "
            f"difference {difference:.2g}, allowed {allowed:.2g}, top-1 agreement "
            f"{found['top1_agreement']:.4f} on {len(actual)} images. Nothing was "
            "written."
        )


def check_loss(
    found: dict[str, Any], quantization: str, max_loss: float | None
) -> None:
    """Raise a RuntimeError if a precision loses more than is accepted.

    Args:
        found: by `compare`.
        quantization: precision of the file.
        max_loss: of accuracy, or of top-1 agreement without labels; None: any.
    """
    if not np.isfinite(found["max_difference"]):
        raise RuntimeError(
            f"The file in {quantization} must give numbers, received infinities or "
            f"none. Nothing was written. {_advice(quantization)}."
        )
    # The embedded digits are no judge of other pictures.
    if max_loss is None or found["source"] == "digits":
        return
    # Few images do not show a small loss: one of them may differ.
    allowed = max(max_loss, 1.0 / found["num_images"])
    if "accuracy" in found:
        loss = found["model_accuracy"] - found["accuracy"]
        text = (
            f"accuracy {found['accuracy']:.2%} on {found['num_images']} images, "
            f"{found['model_accuracy']:.2%} for the Keras model"
        )
    else:
        loss = 1.0 - found["top1_agreement"]
        text = (
            f"top-1 agreement {found['top1_agreement']:.2%} with the Keras model on "
            f"{found['num_images']} images"
        )
    # Sums of floats are not exact; a loss that is the threshold is accepted.
    if loss > allowed + 1e-9:
        raise RuntimeError(
            f"A file in {quantization} may lose {allowed:.2%}, received one that loses "
            f"{loss:.2%}: {text}. Nothing was written. {_advice(quantization)}, or "
            "accept the loss with accept_loss=True (--accept-loss)."
        )


def _advice(quantization: str) -> str:
    row = QUANTIZATIONS[quantization]
    pictures = "calibration pictures like those in use, or "
    return f"Try {pictures if row.needs_calibration else ''}quantization={row.closer!r}"


def check_thresholds(max_loss: float, tolerance: float = 0.0) -> None:
    """Raise a ValueError unless the one is a share and the other a number."""
    if not isinstance(tolerance, Real) or math.isnan(tolerance):
        raise ValueError(
            "tolerance must be a number, the largest difference that is accepted in "
            f"float32, relative to the largest output, received {tolerance=!r}. Leave "
            "it out for 1e-4."
        )
    if not isinstance(max_loss, Real) or not 0.0 <= max_loss < 1.0:
        raise ValueError(
            "max_loss must be a share of the images in [0, 1), such as 0.01 for one "
            f"point of accuracy, received max_loss={max_loss!r}. Accept any loss with "
            "accept_loss=True (--accept-loss)."
        )
