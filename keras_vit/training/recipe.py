"""How a model is trained: one frozen object, and a table of named ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import keras

from keras_vit.data.augmentation import Augmentation
from keras_vit.outputs import output_activation
from keras_vit.training.loss import CrossEntropy
from keras_vit.training.optimizer import AdamW


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides how a model is trained.

    `train` uses it, and each part can be taken and used alone: `schedule`, `optimizer`,
    `loss`, `compile` and the fields.

    Args:
        epochs: passes over the training images, at least 1. Default 100.
        batch_size: images per step, at least 1. Default 64.
        learning_rate: highest value, reached after the warm-up, above 0. Default 1e-3.
        warmup_epochs: epochs of linear growth from 0, at least 0 and below `epochs`.
            Afterwards the learning rate falls to 0 along a cosine. Default 5.
        weight_decay: of AdamW, on kernels only, at least 0. Default 0.05.
        label_smoothing: share of the probability spread over all classes, [0, 1).
            Default 0.1.
        gradient_clip_norm: largest norm of all gradients together, above 0, or None.
            Default 1.
        augmentation: random changes of the training images.
        seed: of weights, order, augmentation and dropout. Default 0.
        source: where the settings come from.

    Raises:
        TypeError: if an option does not exist or has the wrong type.
        ValueError: if an option is out of its range.

    Example:
        >>> recipe = keras_vit.Recipe(epochs=10, warmup_epochs=1)
        >>> round(float(recipe.schedule(steps_per_epoch=100)(100)), 6)
        0.001
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_epochs: float = 5
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    gradient_clip_norm: float | None = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.augmentation, dict):
            object.__setattr__(self, "augmentation", Augmentation(**self.augmentation))
        for name, low, allowed in (
            ("epochs", 1, "at least 1"),
            ("batch_size", 1, "at least 1"),
            ("seed", 0, "at least 0"),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(
                    f"{name} must be a whole number of {allowed}, received "
                    f"{name}={value!r}."
                )
        for name in ("learning_rate", "gradient_clip_norm"):
            value = getattr(self, name)
            if value is None and name == "gradient_clip_norm":
                continue
            if not isinstance(value, Real) or not float(value) > 0:
                raise ValueError(f"{name} must be above 0, received {name}={value!r}.")
        if not self.weight_decay >= 0:
            raise ValueError(
                "weight_decay must be at least 0, received "
                f"weight_decay={self.weight_decay!r}."
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                "label_smoothing must be at least 0 and below 1, received "
                f"label_smoothing={self.label_smoothing!r}."
            )
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(
                "warmup_epochs must be at least 0 and below epochs, received "
                f"warmup_epochs={self.warmup_epochs!r}, epochs={self.epochs}. "
                "Train longer or warm up for less."
            )

    def schedule(
        self, steps_per_epoch: int
    ) -> keras.optimizers.schedules.LearningRateSchedule:
        """Return the learning rate by step: linear warm-up, then a cosine to 0."""
        warmup = round(self.warmup_epochs * steps_per_epoch)
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else self.learning_rate,
            decay_steps=max(1, self.epochs * steps_per_epoch - warmup),
            warmup_target=self.learning_rate if warmup else None,
            warmup_steps=warmup,
        )

    def optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        """Return AdamW with this schedule, decay on kernels only, and clipping."""
        return AdamW(
            self.schedule(steps_per_epoch),  # pyright: ignore[reportArgumentType]
            weight_decay=self.weight_decay,
            global_clipnorm=self.gradient_clip_norm,
        )

    def loss(self, from_logits: bool = True) -> keras.losses.Loss:
        """Return cross-entropy with this label smoothing; labels are class numbers."""
        return CrossEntropy(self.label_smoothing, from_logits=from_logits)

    def compile(self, model: keras.Model, steps_per_epoch: int) -> None:
        """Compile a classifier: optimizer, loss and the metric `accuracy`."""
        model.compile(
            optimizer=self.optimizer(steps_per_epoch),
            loss=self.loss(from_logits=output_activation(model) is None),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )


RECIPES: Mapping[str, Recipe] = {
    "small_data": Recipe(
        source="keras_vit: from random weights on a few thousand images; "
        "benchmarks/digits.py measures it",
        epochs=150,
        learning_rate=2e-3,
        weight_decay=0.1,
        label_smoothing=0.05,
        augmentation=Augmentation(rotation=15.0, shear=10.0, translation=0.1, zoom=0.1),
    ),
    "photos": Recipe(
        source="the crop and flip of arXiv:2106.10270, section 3.3, with AdamW",
        epochs=90,
        batch_size=128,
        augmentation=Augmentation(crop_area=(0.25, 1.0), horizontal_flip=True),
    ),
}


def get_recipe(name: str, **changes: Any) -> Recipe:
    """Return the recipe called `name` with some fields changed.

    Raises:
        ValueError: if there is no such recipe; the message lists them.
        TypeError: if a field does not exist.
    """
    from dataclasses import replace

    if name not in RECIPES:
        raise ValueError(
            f"recipe must be one of {list(RECIPES)}, received recipe={name!r}. Build "
            "any other with keras_vit.Recipe(...)."
        )
    return replace(RECIPES[name], **changes)
