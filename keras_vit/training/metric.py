"""Accuracy for class numbers and class probabilities; F1 for several labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.training.loss import check_label_shape


@keras.saving.register_keras_serializable(package="keras_vit")
class Accuracy(keras.metrics.MeanMetricWrapper):
    """Share of the images whose highest logit is that of the right class.

    Keras has one metric for class numbers and another for probabilities; mixed training
    images have the latter, where the most probable class is the right one. A model with
    one output says yes or no; labels are 0 and 1, or the probability of yes.

    Args:
        name: of the metric. Default "accuracy".
        dtype: of the sums. Default: Keras's.
        from_logits: whether a single output is a logit (default), which says yes above
            0, or a probability, which does above one half.

    Example:
        ```python
        metric = keras_vit.training.Accuracy()
        logits = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
        metric.update_state(np.array([0, 1, 0, 1]), logits)
        float(metric.result())  # 0.75
        ```
    """

    def __init__(
        self, name: str = "accuracy", dtype: Any = None, from_logits: bool = True
    ) -> None:
        super().__init__(fn=hits, name=name, dtype=dtype, from_logits=from_logits)
        self.from_logits = from_logits

    def get_config(self) -> dict[str, Any]:
        own = {"name": self.name, "dtype": self.dtype}
        return {**own, "from_logits": self.from_logits}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Accuracy:
        """Make the metric that `get_config` described."""
        return cls(**config)


def hits(y_true: Any, y_pred: Any, from_logits: bool = True) -> Any:
    """Return 1 for each image that is classified right, else 0, (B,)."""
    check_label_shape(y_true, y_pred)
    if y_pred.shape[-1] == 1:
        is_yes = ops.reshape(y_pred, (-1,)) > (0.0 if from_logits else 0.5)
        right = ops.reshape(ops.cast(y_true, "float32"), (-1,)) > 0.5
        return ops.cast(ops.equal(is_yes, right), "float32")
    if len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]:
        y_true = ops.argmax(y_true, axis=-1)
    classes = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    found = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
    return ops.cast(ops.equal(classes, found), "float32")


@keras.saving.register_keras_serializable(package="keras_vit")
class F1(keras.metrics.F1Score):
    """Mean over the classes of F1, where an image may have several labels.

    A class is found where its probability is above the threshold. A class with neither
    label nor answer counts as 0, as Keras has it; `f1_scores` leaves it out.

    Args:
        threshold: of the probabilities, (0, 1). Default 0.5.
        from_logits: whether the model returns logits (default) or probabilities.
        name: of the metric. Default "f1".
        dtype: of the sums. Default: Keras's.

    Example:
        ```python
        metric = keras_vit.training.F1(from_logits=False)
        labels = np.array([[1, 0], [1, 1], [0, 1]])
        metric.update_state(labels, np.array([[0.9, 0.2], [0.6, 0.7], [0.7, 0.4]]))
        round(float(metric.result()), 3)  # 0.733
        ```
    """

    def __init__(
        self,
        threshold: float = 0.5,
        from_logits: bool = True,
        name: str = "f1",
        dtype: Any = None,
    ) -> None:
        super().__init__(average="macro", threshold=threshold, name=name, dtype=dtype)
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count labels (B, classes), 0 or 1, and outputs (B, classes)."""
        y_pred = ops.convert_to_tensor(y_pred)
        if self.from_logits:
            y_pred = ops.sigmoid(ops.cast(y_pred, "float32"))
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        own = {"name": self.name, "dtype": self.dtype, "threshold": self.threshold}
        return {**own, "from_logits": self.from_logits}
