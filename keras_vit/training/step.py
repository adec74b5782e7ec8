"""A model around a model whose training step accumulates and distils."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vit.distribution import DistributedModel, current
from keras_vit.keras_internals import forget_compiled_steps
from keras_vit.training.distillation import Distillation, DistillationKind
from keras_vit.training.loss import LabelLoss, check_classes, check_outputs
from keras_vit.training.optimizer import LossScaleOptimizer, TrainingOptimizer


class TrainingModel(DistributedModel):
    """Train a model with micro-batches, with a teacher, and with padded batches.

    Layers, weights and their paths are those of the model inside; `fit`, `evaluate` and
    `predict` are Keras's own, jitted on JAX, and on several devices do what
    `DistributedModel` says. What it adds to a step:

    - The batch is cut into `accumulation_steps` micro-batches, image i into number i
      modulo that. The mean of their gradients is applied once, so that the result is
      that of the whole batch up to rounding, and clipping, schedule and moving average
      see one step. The loss scaling of "mixed_float16" is part of it.
    - With a teacher the loss is (1 - alpha) * loss + alpha * distillation loss. In a
      model with a distillation token the second head learns from the teacher, else the
      only one does.
    - An image with sample weight 0 is padding: it counts nothing in loss and metrics.
      Metrics count each other image once; its weight is a factor of its loss.

    Export and predict with the model inside, which has the trained weights; `save`
    writes that one, so that `keras.callbacks.ModelCheckpoint` does.

    Args:
        model: functional model with one output of shape (B, classes), such as a `ViT`.
        accumulation_steps: number of micro-batches, at least 1; a batch that it does
            not divide, such as the last one, is filled up with padding. Default 1.
        teacher: Keras model for the same images with as many classes; it runs in
            inference mode and stays as it is. Default None.
        distillation: "hard" (the class that the teacher prefers) or "soft" (its
            probabilities); exactly with a teacher. Default None.
        alpha: share of the distillation loss, [0, 1]. Default 0.5.
        temperature: of "soft", above 0: logits are divided by it. Default 1.
        name: of the model. Default: that of the model inside.

    Raises:
        TypeError: if `model` is not functional.
        ValueError: if an option is out of range, a distillation has no teacher or a
            teacher no distillation, or the teacher does not fit the model.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", num_classes=10)
        >>> trained = keras_vit.training.TrainingModel(model, accumulation_steps=2)
        >>> loss = keras_vit.training.CrossEntropy()
        >>> trained.compile("sgd", loss, metrics=["accuracy"])
        >>> images, labels = np.zeros((8, 32, 32, 3)), np.arange(8)
        >>> history = trained.fit(images, labels, batch_size=4, verbose=0)

    Reference: arXiv:2012.12877, equations 2 and 3 (distillation).
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        accumulation_steps: int = 1,
        teacher: keras.Model | None = None,
        distillation: DistillationKind | None = None,
        alpha: float = 0.5,
        temperature: float = 1.0,
        name: str | None = None,
    ) -> None:
        check_accumulation(accumulation_steps)
        inputs: Any = getattr(model, "inputs", None) or ()
        outputs: Any = getattr(model, "outputs", None) or ()
        if len(inputs) != 1 or len(outputs) != 1:
            raise TypeError(
                "TrainingModel takes a functional keras.Model, one input and output, "
                f"received {type(model).__name__}. Make one with "
                "keras.Model(inputs, model(inputs))."
            )
        super().__init__(inputs=inputs[0], outputs=outputs[0], name=name or model.name)
        self._inside = _Hidden(model)
        self.dtype_policy = model.dtype_policy
        self.input_spec = model.input_spec
        self.accumulation_steps = accumulation_steps
        taught = Distillation.of(model, teacher, distillation, alpha, temperature)
        self._distillation = _Hidden(taught)

    @property
    def model(self) -> keras.Model:
        """The model inside."""
        return self._inside.value

    @property
    def distillation(self) -> Distillation | None:
        """Teacher and settings of the distillation, None without."""
        return self._distillation.value

    @property
    def preprocessing(self) -> Any:
        """That of the model inside, None if it has none."""
        return getattr(self.model, "preprocessing", None)

    @property
    def class_names(self) -> Any:
        """Those of the model inside, None if it has none."""
        return getattr(self.model, "class_names", None)

    @property
    def config(self) -> Any:
        """That of the model inside, None if it has none."""
        return getattr(self.model, "config", None)

    @property
    def non_trainable_variables(self) -> list[Any]:
        # Those of the teacher too, because on JAX a step is a function of these.
        own = super().non_trainable_variables
        # Keras asks for them while it makes the model, too, before this is set.
        hidden = self.__dict__.get("_distillation")
        taught = None if hidden is None else hidden.value
        return own if taught is None else [*own, *taught.teacher.variables]

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: None = None,
        metrics: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Set optimizer, loss and metrics, as in `keras.Model.compile`.

        Args:
            optimizer: one of `keras_vit.training`, or any of Keras. In "mixed_float16"
                it is wrapped so that an overflow skips the step.
            loss: with the default reduction, the mean over the images.
            loss_weights: None; it is here so that places are those of Keras.
            metrics: names or metrics that take sample weights.
            **kwargs: further arguments of `keras.Model.compile`.

        Raises:
            ValueError: if `loss_weights` or `weighted_metrics` are given, the optimizer
                accumulates gradients itself, or the loss says nothing of the outputs.
        """
        if loss_weights is not None:
            raise ValueError(
                "TrainingModel has one output and one loss, received loss_weights="
                f"{loss_weights!r}. Pass metrics by name: metrics=[...]."
            )
        if kwargs.pop("weighted_metrics", None):
            raise ValueError(
                "TrainingModel counts each image once in its metrics, received "
                "weighted_metrics. Pass them as metrics."
            )
        made: Any = keras.optimizers.get(optimizer)
        inner: Any = getattr(made, "inner_optimizer", made)
        if getattr(inner, "gradient_accumulation_steps", None):
            raise ValueError(
                "Keras's accumulation averages the weights at each micro-step, "
                "received gradient_accumulation_steps="
                f"{inner.gradient_accumulation_steps}. Pass accumulation_steps to "
                "TrainingModel instead."
            )
        is_half = self.dtype_policy.name == "mixed_float16"
        if is_half and isinstance(made, TrainingOptimizer):
            made = LossScaleOptimizer(made)  # pyright: ignore[reportArgumentType]
        check_outputs(loss, self.output_shape[-1])
        if self.compiled:
            forget_compiled_steps(self)
        weighted = None if metrics is None else list(metrics)
        super().compile(made, loss, weighted_metrics=weighted, **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        check_trains(self)
        self._check_labels(*args, **kwargs)
        return super().fit(*args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        self._check_labels(*args, **kwargs)
        return super().evaluate(*args, **kwargs)

    @functools.wraps(keras.Model.save)
    def save(self, *args: Any, **kwargs: Any) -> Any:
        return self.model.save(*args, **kwargs)

    def _check_labels(self, x: Any = None, y: Any = None, *_: Any, **kw: Any) -> None:
        """Refuse labels in memory that are no classes, before the first step."""
        is_ours = isinstance(getattr(self, "loss", None), LabelLoss)
        # With weights, any label may mark padding.
        if is_ours and y is not None and kw.get("sample_weight") is None:
            check_classes(y, self.output_shape[-1])

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        devices = current()
        with devices.own_masks(self):
            return devices.logs_of_step(_steps().train_step(self, *args, **kwargs))

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        return current().logs_of_step(_steps().test_step(self, *args, **kwargs))

    def outputs_and_loss(
        self, x: Any, y: Any, weights: Any, training: bool
    ) -> tuple[Any, Any]:
        """Return logits as at inference, and the loss, a scalar.

        Args:
            x: images, (B, H, W, C).
            y: labels.
            weights: factor of the loss of each image, (B,), or None.
            training: whether this is a training step; only then a teacher counts.
        """
        distillation = self.distillation
        if distillation is None or not training:
            outputs = self(x, training=training)
            loss = self.compute_loss(x, y, outputs, weights, training=training)
            return outputs, loss
        first, second = distillation.heads(x)
        loss = self.compute_loss(x, y, first, weights, training=True)
        taught = distillation.loss(x, second, weights)
        alpha = distillation.alpha
        outputs = first if first is second else (first + second) / 2
        return outputs, (1 - alpha) * loss + alpha * taught

    def record(
        self, x: Any, y: Any, outputs: Any, mask: Any, loss: Any, num_images: Any
    ) -> dict[str, Any]:
        """Update the mean loss and the metrics and return their values.

        Args:
            x: images, (B, H, W, C).
            y: labels.
            outputs: logits, (B, classes).
            mask: 1 for an image and 0 for padding, (B,), or None for images only.
            loss: mean over the images.
            num_images: number of images that are no padding.
        """
        loss = loss * current().loss_divisor
        tracker = next(metric for metric in self.metrics if metric.name == "loss")
        tracker.update_state(loss, sample_weight=num_images)
        return self.compute_metrics(x, y, outputs, sample_weight=mask)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            "A TrainingModel is not saved. Save the model inside it: "
            "training_model.model.save(path)."
        )


class _Hidden:
    """Hold something that Keras and torch shall not find."""

    def __init__(self, value: Any) -> None:
        self.value = value


def check_accumulation(accumulation_steps: int, batch_size: int | None = None) -> None:
    """Raise a ValueError unless the batch can be cut into so many equal parts."""
    steps = accumulation_steps
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(
            "accumulation_steps must be a whole number of at least 1, received "
            f"accumulation_steps={steps!r}."
        )
    if batch_size is not None and batch_size % steps:
        raise ValueError(
            "batch_size must be a multiple of accumulation_steps, received "
            f"batch_size={batch_size}, accumulation_steps={steps}. Choose a divisor."
        )


def check_trains(model: keras.Model) -> None:
    """Raise a ValueError if all weights of a model are frozen."""
    if not model.trainable_weights:
        raise ValueError(
            f"Training needs a weight that may change, received {model.name!r} with "
            "all of its weights frozen. Freeze fewer layers, or train "
            "keras_vit.changed(model, train_only='all')."
        )


def fill_up(batch: Sequence[Any], numbers: Any, num_rows: Any) -> list[Any]:
    """Return images, labels and weights with more rows, which are padding.

    Args:
        batch: images, labels, and sample weights or None.
        numbers: 0, 1, 2, ..., as many as there shall be rows.
        num_rows: how many there are.
    """
    # Copies of the last image, so that nothing unusual is computed.
    rows = ops.minimum(numbers, num_rows - 1)
    x, y, weights = (None if v is None else ops.take(v, rows, axis=0) for v in batch)
    is_image = ops.cast(ops.less(numbers, num_rows), "float32")
    if weights is None:
        return [x, y, is_image]
    return [x, y, ops.cast(weights, "float32") * is_image]


def factors(weights: Any, num_rows: Any) -> tuple[Any, Any, Any]:
    """Return what the losses are multiplied by, the mask of images, and their number.

    A loss is divided by the number of rows of its batch; the factors make that the
    number of images, so that padding has no influence. The number is the mean over the
    replicas, which together with equal factors gives the mean over all images.

    Args:
        weights: sample weights, (B,), or None.
        num_rows: B.
    """
    if weights is None:
        return None, None, ops.cast(num_rows, "float32")
    weights = ops.cast(weights, "float32")
    mask = ops.cast(ops.not_equal(weights, 0.0), "float32")
    count = float(current().num_parallel_steps)
    images = current().reduce_sum(ops.sum(mask)) / count
    rows = ops.cast(num_rows, "float32")
    return weights * (rows / ops.maximum(images, 1.0 / count)), mask, images


def _steps() -> Any:
    """Return the module with the steps of the backend."""
    name = f"keras_vit.training.step_{keras.backend.backend()}"
    return importlib.import_module(name)
