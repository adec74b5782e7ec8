"""Losses for class numbers and class probabilities, with label smoothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

LossName = Literal["cross_entropy", "binary_cross_entropy", "sigmoid_cross_entropy"]


class LabelLoss(keras.losses.Loss):
    """A loss that is not a number where a label is no class of the model.

    One-hot rows of such labels are zeros, from which a model would learn something
    without a word. The gradient is finite, so that the weights are not lost. Images of
    weight 0 are padding, with any label.
    """

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        check_label_shape(y_true, y_pred)
        loss = super().__call__(y_true, y_pred, sample_weight)
        if not are_numbers(y_true, y_pred):
            return loss
        numbers = ops.reshape(ops.cast(y_true, "float32"), (-1,))
        is_wrong = ops.logical_not(is_class(numbers, y_pred.shape[-1]))
        if sample_weight is not None:
            counts = ops.not_equal(ops.cast(sample_weight, "float32"), 0.0)
            is_wrong = ops.logical_and(is_wrong, ops.reshape(counts, (-1,)))
        penalty = ops.where(ops.any(is_wrong), float("nan"), 0.0)
        return loss + ops.cast(penalty, loss.dtype)


@keras.saving.register_keras_serializable(package="keras_vit")
class CrossEntropy(LabelLoss):
    """Cross-entropy from logits; labels are class numbers or class probabilities.

    Keras's sparse cross-entropy has no label smoothing, and its categorical one takes
    no class numbers. With a number that is no class the loss is not a number.

    Args:
        label_smoothing: share of the probability that is spread evenly over all
            classes, [0, 1). Default 0.
        from_logits: whether the model returns logits (default) or probabilities.

    Raises:
        ValueError: on call, if labels of this shape do not fit the model.

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
class BinaryCrossEntropy(LabelLoss):
    """One yes-or-no question per class, from logits.

    Labels are class numbers or class probabilities, as those of mixed images. With a
    number that is no class the loss is not a number.

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
        ValueError: if `over_classes` is none of those; on call, if labels of this
            shape do not fit the model.

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
        y_true: class numbers, (B,) or (B, 1), or class probabilities. A number that is
            no class has a row of zeros.
        y_pred: logits, (B, classes).
    """
    if not are_numbers(y_true, y_pred):
        return ops.cast(y_true, y_pred.dtype)
    classes = y_pred.shape[-1]
    numbers = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    # On torch, `one_hot` raises for numbers above the last class.
    numbers = ops.where(is_class(numbers, classes), numbers, -1)
    return ops.one_hot(numbers, classes, dtype=y_pred.dtype)


def are_numbers(y_true: Any, y_pred: Any) -> bool:
    """Return whether labels are class numbers, and not probabilities."""
    shape = y_true.shape
    return len(shape) < 2 or shape[-1] != y_pred.shape[-1]


def is_class(numbers: Any, num_classes: int) -> Any:
    """Return whether each number is that of a class."""
    in_range = ops.logical_and(numbers >= 0, numbers < num_classes)
    return ops.logical_and(in_range, ops.equal(numbers, ops.floor(numbers)))


def check_label_shape(y_true: Any, y_pred: Any) -> None:
    """Raise a ValueError if labels of this shape do not fit the outputs of a model."""
    shape, classes = tuple(y_true.shape), y_pred.shape[-1]
    # A size of None is one that TensorFlow knows when it runs.
    if len(shape) > 2 or (len(shape) == 2 and shape[-1] not in (1, classes, None)):
        raise ValueError(
            "Labels must be class numbers of shape (B,) or (B, 1), or one probability "
            f"for each of the {classes} outputs of the model, (B, {classes}), received "
            f"shape {shape}. Build the model with as many classes as the labels have."
        )


def check_classes(labels: Any, num_classes: int) -> None:
    """Raise a ValueError if class numbers that are known now are none of the model.

    Args:
        labels: array, tensor or list; anything else than whole numbers passes.
        num_classes: outputs of the model.
    """
    numbers = np.asarray(keras.ops.convert_to_numpy(labels))
    if not np.issubdtype(numbers.dtype, np.integer):
        return
    if numbers.ndim == 2 and numbers.shape[-1] == num_classes:
        return
    wrong = numbers[(numbers < 0) | (numbers >= num_classes)]
    if wrong.size:
        raise ValueError(
            f"Labels must be from 0 to {num_classes - 1} for a model with "
            f"{num_classes} outputs, received {wrong.flat[0]} ({wrong.size} labels out "
            "of range). Number the classes from 0, or build the model with more."
        )
