"""Losses for class numbers and class probabilities, with label smoothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_vit.own_arguments import own_arguments

LossName = Literal[
    "cross_entropy", "binary_cross_entropy", "sigmoid_cross_entropy", "asymmetric"
]


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
        is_wrong = ops.logical_not(is_label(numbers, y_pred.shape[-1]))
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
        ValueError: on call, if labels of this shape do not fit the model, or it has one
            output, whose probability is always 1.

    Example:
        ```python
        loss = keras_vit.training.CrossEntropy(label_smoothing=0.1)
        logits = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        round(float(loss(np.array([0, 1]), logits)), 3)  # 0.373
        mixed = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0]])
        round(float(loss(mixed, logits)), 3)  # 0.643
        ```

    Reference: arXiv:1512.00567, section 7 (label smoothing).
    """

    def __init__(
        self, label_smoothing: float = 0.0, from_logits: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**{"name": "cross_entropy", **kwargs})
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        check_outputs(self, y_pred.shape[-1])
        y_true, smoothing = as_probabilities(y_true, y_pred), self.label_smoothing
        return keras.losses.categorical_crossentropy(
            y_true, y_pred, from_logits=self.from_logits, label_smoothing=smoothing
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}


@keras.saving.register_keras_serializable(package="keras_vit")
class BinaryCrossEntropy(LabelLoss):
    """One yes-or-no question per class, from logits.

    Labels are class numbers, or for each class a number from 0 to 1, (B, classes): the
    probabilities of mixed images, or yes and no where an image has several labels. A
    model with one output asks one question: labels are 0 for no and 1 for yes, or the
    probability of yes, (B,) or (B, 1). With a number that is none of these the loss is
    not a number.

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

    Example:
        ```python
        loss = keras_vit.training.BinaryCrossEntropy()
        labels = np.array([[1.0, 0.0, 1.0]])
        round(float(loss(labels, np.array([[2.0, -1.0, 0.5]]))), 3)  # 0.305
        ```

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
        _check_over_classes(over_classes)
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits
        self.over_classes = over_classes
        self.threshold = threshold

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = as_probabilities(y_true, y_pred)
        if self.threshold is not None:
            y_true = ops.cast(y_true > self.threshold, y_pred.dtype)
        # No is an answer, too.
        smoothing, classes = self.label_smoothing, max(2, y_pred.shape[-1])
        y_true = y_true * (1 - smoothing) + smoothing / classes
        losses = ops.binary_crossentropy(y_true, y_pred, from_logits=self.from_logits)
        reduce = ops.sum if self.over_classes == "sum" else ops.mean
        return reduce(losses, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}


@keras.saving.register_keras_serializable(package="keras_vit")
class AsymmetricLoss(LabelLoss):
    """Yes-or-no questions of which nearly all answers are no, from logits.

    With several labels to an image and many classes, easy noes drown the few yeses:
    here they count less, (1 - p)^positive_focus log p for a yes and
    q^negative_focus log(1 - q) for a no, where q = max(p - margin, 0), so that noes
    below the margin count nothing. Without focus and margin it is
    `BinaryCrossEntropy(over_classes="sum")`.

    Labels are 0 and 1 for each class, (B, classes), or the probability of yes; class
    numbers, (B,) or (B, 1), are one yes among noes.

    Args:
        label_smoothing: share of each answer that is undecided, [0, 1): labels become
            y (1 - s) + s / 2. Default 0.
        from_logits: whether the model returns logits (default) or probabilities, one
            sigmoid per class.
        positive_focus: exponent of yes, 0 or at least 1. Default 1, that of the
            authors' code; the paper has 0.
        negative_focus: exponent of no, 0 or at least 1. Default 4.
        margin: of no, [0, 1). Default 0.05.
        over_classes: "sum" (default, as in the paper) or "mean" of the losses of one
            image.

    Raises:
        ValueError: if an option is out of range; on call, if labels of this shape do
            not fit the model.

    Example:
        ```python
        loss = keras_vit.training.AsymmetricLoss()
        labels = np.array([[1.0, 0.0, 0.0]])
        round(float(loss(labels, np.array([[2.0, -1.0, -4.0]]))), 3)  # 0.016
        ```

    Reference: arXiv:2009.14119, equations 4 to 7; timm.loss.AsymmetricLossMultiLabel,
    without its `eps`.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        from_logits: bool = True,
        positive_focus: float = 1.0,
        negative_focus: float = 4.0,
        margin: float = 0.05,
        over_classes: str = "sum",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "asymmetric", **kwargs})
        _check_over_classes(over_classes)
        for name, value in (
            ("positive_focus", positive_focus),
            ("negative_focus", negative_focus),
        ):
            if not (value == 0 or value >= 1):
                raise ValueError(  # Between, the slope at 0 has no limit.
                    f"{name} must be 0 or at least 1, received {name}={value}."
                )
        if not 0 <= margin < 1:
            raise ValueError(
                f"margin must be at least 0 and below 1, received margin={margin}."
            )
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits
        self.positive_focus = positive_focus
        self.negative_focus = negative_focus
        self.margin = margin
        self.over_classes = over_classes

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = ops.cast(y_pred, "float32")  # In float16, 1 - p is 0 too soon.
        y_true = as_probabilities(y_true, y_pred)
        y_true = y_true * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.from_logits:
            yes, log_yes = ops.sigmoid(y_pred), ops.log_sigmoid(y_pred)
            log_no = ops.log_sigmoid(-y_pred)
        else:
            epsilon = keras.config.epsilon()
            yes = ops.clip(y_pred, epsilon, 1 - epsilon)
            log_yes, log_no = ops.log(yes), ops.log(1 - yes)
        weight = yes
        if self.margin:
            weight = ops.maximum(yes - self.margin, 0.0)
            log_no = ops.log(1 - weight)
        positive, negative = y_true * log_yes, (1 - y_true) * log_no
        if self.positive_focus:
            positive *= ops.power(1 - yes, self.positive_focus)
        if self.negative_focus:
            negative *= ops.power(weight, self.negative_focus)
        reduce = ops.sum if self.over_classes == "sum" else ops.mean
        return -reduce(positive + negative, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}


LOSSES: dict[LossName, Callable[..., keras.losses.Loss]] = {
    "cross_entropy": CrossEntropy,
    "binary_cross_entropy": partial(BinaryCrossEntropy, threshold=0.0),
    "sigmoid_cross_entropy": partial(BinaryCrossEntropy, over_classes="sum"),
    "asymmetric": AsymmetricLoss,
}


def _check_over_classes(over_classes: Any) -> None:
    if over_classes not in ("mean", "sum"):
        raise ValueError(
            "over_classes must be one of ['mean', 'sum'], received "
            f"over_classes={over_classes!r}. Check the spelling."
        )


def as_probabilities(y_true: Any, y_pred: Any) -> Any:
    """Return labels as class probabilities, (B, classes), of the dtype of the logits.

    Args:
        y_true: class numbers, (B,) or (B, 1), or class probabilities. A number that is
            no class has a row of zeros.
        y_pred: logits, (B, classes). With one output, labels are the probability of
            yes.
    """
    classes = y_pred.shape[-1]
    if classes == 1:
        return ops.cast(ops.reshape(y_true, (-1, 1)), y_pred.dtype)
    if not are_numbers(y_true, y_pred):
        return ops.cast(y_true, y_pred.dtype)
    numbers = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    # On torch, `one_hot` raises for numbers above the last class.
    numbers = ops.where(is_class(numbers, classes), numbers, -1)
    return ops.one_hot(numbers, classes, dtype=y_pred.dtype)


def are_numbers(y_true: Any, y_pred: Any) -> bool:
    """Return whether labels are class numbers, and not probabilities.

    Where there is one output, they are one number per image in either case.
    """
    shape = y_true.shape
    return y_pred.shape[-1] == 1 or len(shape) < 2 or shape[-1] != y_pred.shape[-1]


def is_label(numbers: Any, num_outputs: int) -> Any:
    """Return whether each number is a label for so many outputs.

    One output says yes or no: each number from 0 to 1 is the probability of yes.
    """
    if num_outputs == 1:
        return ops.logical_and(numbers >= 0, numbers <= 1)
    return is_class(numbers, num_outputs)


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


def check_outputs(loss: Any, num_outputs: int) -> None:
    """Raise a ValueError if a loss says nothing of a model with so many outputs."""
    if isinstance(loss, CrossEntropy) and num_outputs == 1:
        raise ValueError(
            "CrossEntropy needs one output per class, received a model with one, whose "
            "probability among itself is always 1. Build it with num_classes=2, or ask "
            "yes or no with BinaryCrossEntropy (loss_name='binary_cross_entropy')."
        )


def check_classes(labels: Any, num_classes: int) -> None:
    """Raise a ValueError if labels that are known now are none of the model.

    Args:
        labels: array, tensor or list; class probabilities pass.
        num_classes: outputs of the model. With one, labels are from 0 to 1.
    """
    numbers = np.asarray(keras.ops.convert_to_numpy(labels))
    is_probability = numbers.ndim == 2 and numbers.shape[-1] == num_classes > 1
    if numbers.ndim > 2 or is_probability or numbers.dtype.kind not in "iufb":
        return
    is_right = (numbers >= 0) & (numbers <= max(1, num_classes - 1))
    if num_classes > 1:
        is_right &= numbers == np.floor(numbers)
    wrong = numbers[~is_right]
    if wrong.size:
        kind = "whole numbers" if num_classes > 1 else "numbers (no or yes)"
        raise ValueError(
            f"Labels must be {kind} from 0 to {max(1, num_classes - 1)} for a model "
            f"with {num_classes} output(s), received {wrong.flat[0]} ({wrong.size} "
            "labels out of range). Number the classes from 0, or build the model with "
            "more."
        )
