"""Accuracy for class numbers and for class probabilities."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.training.loss import check_label_shape


@keras.saving.register_keras_serializable(package="keras_vit")
class Accuracy(keras.metrics.MeanMetricWrapper):
    """Share of the images whose highest logit is that of the right class.

    Keras has one metric for class numbers and another for probabilities; mixed training
    images have the latter, where the most probable class is the right one.

    Args:
        name: of the metric. Default "accuracy".
        dtype: of the sums. Default: Keras's.
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(fn=hits, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Accuracy:
        """Make the metric that `get_config` described."""
        return cls(**config)


def hits(y_true: Any, y_pred: Any) -> Any:
    """Return 1 for each image that is classified right, else 0, (B,)."""
    check_label_shape(y_true, y_pred)
    if len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]:
        y_true = ops.argmax(y_true, axis=-1)
    classes = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    found = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
    return ops.cast(ops.equal(classes, found), "float32")
