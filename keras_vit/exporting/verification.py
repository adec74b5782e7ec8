"""Compare what a file computes with the Keras model, and refuse what is worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vit.exporting.answers import answers, limits_of
from keras_vit.exporting.quantizations import FLOAT32, QUANTIZATIONS
from keras_vit.exporting.verification_pictures import Shown, Source
from keras_vit.label_scores import mean_average_precision

MAX_LOSS = 0.01


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How the outputs of a file compare with those of the Keras model.

    Args:
        quantization: precision of the file.
        output: name of the output: "logits", "probabilities" or "features".
        num_images: on which both were compared.
        source: of these images.
        max_difference: largest absolute difference of any output value.
        largest_output: of the Keras model, absolute.
        top1_agreement: share of the images whose highest output is the same; where an
            image may have several classes, share of all yes and no that are the same.
        accuracy: of the file, if the images have labels; of several labels it is the
            mean average precision.
        model_accuracy: of the Keras model on the same images.
        warnings: what limits this verification.
        measure: what `accuracy` is.
        agreement: what `top1_agreement` is.
    """

    quantization: str
    output: str
    num_images: int
    source: Source
    max_difference: float
    largest_output: float
    top1_agreement: float
    accuracy: float | None = None
    model_accuracy: float | None = None
    warnings: tuple[str, ...] = ()
    measure: str = "accuracy"
    agreement: str = "top-1 agreement"

    def check(self, *, tolerance: float, max_loss: float | None) -> None:
        """Raise a RuntimeError if the file computes something else than the model.

        Args:
            tolerance: largest difference that is accepted in float32, relative to the
                largest output or 1.
            max_loss: largest loss that is accepted in other precisions; None: any.
        """
        if self.quantization == FLOAT32:
            self._check_exact(tolerance)
        else:
            self.check_loss(None if self.output == "features" else max_loss)

    def _check_exact(self, tolerance: float) -> None:
        allowed = tolerance * max(1.0, self.largest_output)
        if not self.max_difference <= allowed:
            raise RuntimeError(
                "The exported file computes something else than the model: largest "
                f"difference {self.max_difference:.2g}, allowed {allowed:.2g}, "
                f"{self.agreement} {self.top1_agreement:.4f} on {self.num_images} "
                "images. "
                "Nothing was written."
            )

    def check_loss(self, max_loss: float | None) -> None:
        """Raise a RuntimeError if a precision loses more than is accepted.

        Args:
            max_loss: of accuracy, or of top-1 agreement without labels; None: any.
        """
        if not np.isfinite(self.max_difference):
            raise RuntimeError(
                f"The file in {self.quantization} must give numbers, received "
                f"infinities or none. Nothing was written. {self._advice}."
            )
        # The embedded digits are no judge of other pictures.
        if max_loss is None or self.source == "digits":
            return
        loss, text = self._loss
        # Few images do not show a small loss: one of them may differ.
        allowed = max(max_loss, 1.0 / self.num_images)
        # Sums of floats are not exact; a loss that is the threshold is accepted.
        if loss > allowed + 1e-9:
            raise RuntimeError(
                f"A file in {self.quantization} may lose {allowed:.2%}, received one "
                f"that loses {loss:.2%}: {text}. Nothing was written. {self._advice}, "
                "or accept the loss with accept_loss=True (--accept-loss)."
            )

    @property
    def _loss(self) -> tuple[float, str]:
        if self.accuracy is None or self.model_accuracy is None:
            return 1.0 - self.top1_agreement, (
                f"{self.agreement} {self.top1_agreement:.2%} with the Keras model on "
                f"{self.num_images} images"
            )
        return self.model_accuracy - self.accuracy, (
            f"{self.measure} {self.accuracy:.2%} on {self.num_images} images, "
            f"{self.model_accuracy:.2%} for the Keras model"
        )

    @property
    def _advice(self) -> str:
        row = QUANTIZATIONS[self.quantization]
        pictures = "calibration pictures like those in use, or "
        return (
            f"Try {pictures if row.needs_calibration else ''}"
            f"quantization={row.closer!r}"
        )


def compare(
    expected: np.ndarray,
    actual: np.ndarray,
    shown: Shown,
    quantization: str,
    output: str = "logits",
    limits: np.ndarray | None = None,
) -> Verification:
    """Return how outputs, (N, K) each, compare.

    Args:
        expected: of the Keras model.
        actual: of the file.
        shown: what both were computed from.
        quantization: precision of the file.
        output: name of the output: "logits", "probabilities" or "features".
        limits: from which output on the answer is yes, see `limits_of`. Default None.
    """
    if limits is None and expected.shape[-1] == 1:
        limits = limits_of({"name": output, "threshold": 0.5})
    right, found = (answers(rows, limits) for rows in (expected, actual))
    agreement = _share(right == found)
    accuracy = model_accuracy = None
    names: dict[str, Any] = {}
    if right.ndim == 2:  # Several classes to an image.
        names = {"measure": "mean average precision", "agreement": "equal answers"}
    if shown.labels is not None and shown.labels.ndim == 2:
        accuracy, model_accuracy = (
            mean_average_precision(shown.labels, rows) for rows in (actual, expected)
        )
    elif shown.labels is not None:
        accuracy, model_accuracy = (_share(x == shown.labels) for x in (found, right))
    return Verification(
        quantization=quantization,
        output=output,
        num_images=len(expected),
        source=shown.source,
        max_difference=float(np.max(np.abs(expected - actual))),
        largest_output=float(np.max(np.abs(expected))),
        top1_agreement=agreement,
        accuracy=accuracy,
        model_accuracy=model_accuracy,
        warnings=_warnings(expected, agreement, shown.source, quantization),
        **names,
    )


def _share(holds: np.ndarray) -> float:
    return float(np.mean(holds))


def _warnings(
    expected: np.ndarray, agreement: float, source: Source, quantization: str
) -> tuple[str, ...]:
    warnings = []
    # One image alone is always the same as each.
    if len(expected) > 1 and float(np.ptp(expected, axis=0).max()) == 0.0:
        warnings.append(
            "The model gives the same output for each image (an untrained head is "
            "zero), so this comparison says little. Export a trained model."
        )
    if source == "digits" and quantization != FLOAT32:
        warnings.append(
            f"What {quantization} loses was looked at on {len(expected)} embedded "
            f"digits only (top-1 agreement {agreement:.2%}), which says little about "
            "other pictures. Pass evaluation= (--data), or images= (--images), like "
            "those in use."
        )
    return tuple(warnings)
