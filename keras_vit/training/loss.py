"""Losses for class numbers and class probabilities, with label smoothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import keras
from keras import ops

LossName = Literal["cross_entropy", "binary_cross_entropy", "sigmoid_cross_entropy"]


@keras.saving.register_keras_serializable(package="keras_vit")
class CrossEntropy(keras.losses.Loss):
    """Cross-entropy from logits; labels are class numbers or class probabilities.

    Keras's sparse cross-entropy has no label smoothing, and its categorical one takes
    no class numbers.

    Args:
        label_smoothing: share of the probability that is spread evenly over all
            classes, [0, 1). Default 0.
        from_logits: whether the model returns logits (default) or probabilities.

    Reference: arXiv:1512.00567, section 7 (label smoothing).
    """

    def __init__(
        self, label_smoothing: float = 0.0, from_logits: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**{"name": "cross_entropy", **kwargs})
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = as_probabilities(y_true, y_pred)
        return keras.losses.categorical_crossentropy(
            y_true,
            y_pred,
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "from_logits": self.from_logits,
        }


@keras.saving.register_keras_serializable(package="keras_vit")
class BinaryCrossEntropy(keras.losses.Loss):
    """One yes-or-no question per class, from logits.

    Labels are class numbers or class probabilities, as those of mixed images.

    Args:
        label_smoothing: share of the probability that is spread evenly over all
            classes, [0, 1). Default 0.
        from_logits: whether the model returns logits (default) or probabilities, one
            sigmoid per class.
        over_classes: "mean" (default, torch's and DeiT III's) or "sum" (big_vision's)
            of the losses of one image.
        threshold: labels above it become 1 and all others 0, before the smoothing, so
            that both parts of a mixed image are present; DeiT III uses 0.
            Default None: labels as they are.

    Raises:
        ValueError: if `over_classes` is none of those.

    Reference: arXiv:2110.00476, section 2.2; arXiv:2204.07118, section 3.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        from_logits: bool = True,
        over_classes: str = "mean",
        threshold: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "binary_cross_entropy", **kwargs})
        if over_classes not in ("mean", "sum"):
            raise ValueError(
                "over_classes must be one of ['mean', 'sum'], received "
                f"over_classes={over_classes!r}. Check the spelling."
            )
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits
        self.over_classes = over_classes
        self.threshold = threshold

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = as_probabilities(y_true, y_pred)
        if self.threshold is not None:
            y_true = ops.cast(y_true > self.threshold, y_pred.dtype)
        smoothing, classes = self.label_smoothing, y_pred.shape[-1]
        y_true = y_true * (1 - smoothing) + smoothing / classes
        losses = ops.binary_crossentropy(y_true, y_pred, from_logits=self.from_logits)
        if self.over_classes == "sum":
            return ops.sum(losses, axis=-1)
        return ops.mean(losses, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "from_logits": self.from_logits,
            "over_classes": self.over_classes,
            "threshold": self.threshold,
        }


LOSSES: dict[LossName, Callable[..., keras.losses.Loss]] = {
    "cross_entropy": CrossEntropy,
    "binary_cross_entropy": partial(BinaryCrossEntropy, threshold=0.0),
    "sigmoid_cross_entropy": partial(BinaryCrossEntropy, over_classes="sum"),
}


def as_probabilities(y_true: Any, y_pred: Any) -> Any:
    """Return labels as class probabilities, (B, classes), of the dtype of the logits.

    Args:
        y_true: class numbers, (B,) or (B, 1), or class probabilities.
        y_pred: logits, (B, classes).
    """
    if len(y_true.shape) < 2 or y_true.shape[-1] != y_pred.shape[-1]:
        numbers = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return ops.one_hot(numbers, y_pred.shape[-1], dtype=y_pred.dtype)
    return ops.cast(y_true, y_pred.dtype)
