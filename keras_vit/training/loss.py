"""Cross-entropy for whole-number labels, with label smoothing."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


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
        if len(y_true.shape) < 2 or y_true.shape[-1] != y_pred.shape[-1]:
            numbers = ops.cast(ops.reshape(y_true, (-1,)), "int32")
            y_true = ops.one_hot(numbers, y_pred.shape[-1], dtype=y_pred.dtype)
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
