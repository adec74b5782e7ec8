"""How a model is trained: one frozen object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import keras

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.mixing import Mixing
from keras_vit.outputs import output_activation
from keras_vit.training.distillation import DistillationKind
from keras_vit.training.freezing import freeze, freeze_all_but_head
from keras_vit.training.lora import LORA_LAYERS, add_lora, has_lora
from keras_vit.training.loss import LOSSES, LossName
from keras_vit.training.metric import Accuracy
from keras_vit.training.optimizer import OPTIMIZERS, LossScaleOptimizer
from keras_vit.training.recipe_checks import (
    check_options,
    check_recipe,
    image_phases,
)
from keras_vit.training.schedule import Curve, WarmupSchedule
from keras_vit.training.settings import (
    RATES,
    set_dtype,
    set_rates,
    set_rematerialization,
)
from keras_vit.training.step import TrainingModel, check_trains


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides how a model is trained.

    `train` uses it, and each part can be taken and used alone: `schedule`, `optimizer`,
    `loss`, `prepare`, `training_model`, `compile` and the fields.

    Args:
        epochs: passes over the training images, at least 1. Default 100.
        batch_size: images per step, at least 1. Default 64.
        learning_rate: highest value, reached after the warm-up, above 0. Default 1e-3.
        warmup_epochs: epochs of linear growth from 0, at least 0 and below `epochs`.
            Default 5.
        schedule_name: curve of the learning rate after the warm-up: "cosine" (default),
            "linear", "rsqrt" or "constant"; see `WarmupSchedule`.
        final_learning_rate: at the end of "cosine" and "linear", at least 0 and at most
            `learning_rate`. Default 0.
        cooldown_epochs: last epochs over which the learning rate falls linearly to 0 as
            well, for "rsqrt" and "constant", at least 0. Default 0.
        optimizer_name: "adamw" (default), "sgd", "adafactor" or "lamb".
        weight_decay: on kernels only, times the learning rate, at least 0.
            Default 0.05.
        beta_2: of "adamw" and "lamb", [0, 1). Default 0.999.
        momentum: of "sgd", [0, 1). Default 0.9.
        layer_decay: factor of the learning rate per layer below the head, (0, 1].
            Default None: one rate for all.
        gradient_clip_norm: largest norm of all gradients together, above 0, or None.
            Default 1.
        accumulation_steps: micro-batches per step, at least 1, dividing `batch_size`.
            Default 1.
        ema_decay: share of the old value in the moving averages of the weights, [0, 1).
            Default None: no averages.
        loss_name: "cross_entropy" (default); "binary_cross_entropy" of DeiT III, where
            each class that is in a mixed image counts as whole, mean over the classes;
            or big_vision's "sigmoid_cross_entropy", labels as they are, summed.
        label_smoothing: share of the probability spread over all classes, [0, 1).
            Default 0.1.
        stochastic_depth_rate: of the last block, [0, 1). Default None: as the model has
            it; this holds for the next four, too.
        stochastic_depth_curve: "linear" from 0 in the first block to that rate, or
            "constant". Default None.
        dropout_rate: after positions, attention and MLP, [0, 1). Default None.
        attention_dropout_rate: of the attention weights, [0, 1). Default None.
        patch_dropout_rate: share of the patches, [0, 1). Default None.
        freeze_until: name of the last layer that does not train. Default None: all do.
        train_only: "all" (default), "head" (a linear probe) or "lora" (low-rank factors
            and the head).
        lora_rank: of the factors, at least 1. Default 8.
        lora_layers: ends of the paths of the layers that get them. Default: both
            matrices of the attention.
        distillation: "hard" or "soft" to learn from a teacher as well. Default None.
        distillation_alpha: share of that loss, [0, 1]. Default 0.5.
        distillation_temperature: of "soft", above 0. Default 1.
        image_sizes: progressive resizing: (first epoch from 0, pixels) of each phase;
            needs a model for images of any size. Default (): that of the model.
        dtype: dtype policy of the computation, such as "mixed_bfloat16". Default None:
            as the model has it.
        rematerialization: "full" or "activations" to compute them again in the backward
            pass. Default None: as the model has it.
        augmentation: random changes of the training images.
        mixing: `Mixing` of images and labels within a batch. Default None.
        repeated_augmentation: how often an epoch draws each image, each time changed
            anew and in the same batch, at least 1. Default 1.
        class_balance: "weights" (of the losses) or "sampling" to give rare classes
            their share. Default None.
        seed: of weights, order, augmentation and dropout. Default 0.
        source: where the settings come from.

    Raises:
        TypeError: if an option does not exist or has the wrong type.
        ValueError: if an option is out of its range or contradicts another.

    Example:
        >>> recipe = keras_vit.Recipe(epochs=10, warmup_epochs=1)
        >>> round(float(recipe.schedule(steps_per_epoch=100)(100)), 6)
        0.001
    """

    epochs: int = 100
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_epochs: float = 5
    schedule_name: Curve = "cosine"
    final_learning_rate: float = 0.0
    cooldown_epochs: float = 0
    optimizer_name: Literal["adamw", "sgd", "adafactor", "lamb"] = "adamw"
    weight_decay: float = 0.05
    beta_2: float = 0.999
    momentum: float = 0.9
    layer_decay: float | None = None
    gradient_clip_norm: float | None = 1.0
    accumulation_steps: int = 1
    ema_decay: float | None = None
    loss_name: LossName = "cross_entropy"
    label_smoothing: float = 0.1
    stochastic_depth_rate: float | None = None
    stochastic_depth_curve: Literal["linear", "constant"] | None = None
    dropout_rate: float | None = None
    attention_dropout_rate: float | None = None
    patch_dropout_rate: float | None = None
    freeze_until: str | None = None
    train_only: Literal["all", "head", "lora"] = "all"
    lora_rank: int = 8
    lora_layers: tuple[str, ...] = LORA_LAYERS
    distillation: DistillationKind | None = None
    distillation_alpha: float = 0.5
    distillation_temperature: float = 1.0
    image_sizes: tuple[tuple[int, int], ...] = ()
    dtype: str | None = None
    rematerialization: Literal["full", "activations"] | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    mixing: Mixing | None = None
    repeated_augmentation: int = 1
    class_balance: Literal["weights", "sampling"] | None = None
    seed: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("augmentation", Augmentation), ("mixing", Mixing)):
            value = getattr(self, name)
            if isinstance(value, dict):
                check_options(name, kind, value)
                object.__setattr__(self, name, kind(**value))
        # JSON has lists where Python has tuples.
        names = self.lora_layers
        names = (names,) if isinstance(names, str) else tuple(names)
        object.__setattr__(self, "lora_layers", names)
        object.__setattr__(self, "image_sizes", image_phases(self.image_sizes))
        check_recipe(self)

    def schedule(
        self, steps_per_epoch: int
    ) -> keras.optimizers.schedules.LearningRateSchedule:
        """Return the learning rate by step: linear warm-up, then the curve."""
        return WarmupSchedule(
            self.learning_rate,
            self.epochs * steps_per_epoch,
            warmup_steps=round(self.warmup_epochs * steps_per_epoch),
            curve=self.schedule_name,
            final_learning_rate=self.final_learning_rate,
            cooldown_steps=round(self.cooldown_epochs * steps_per_epoch),
        )

    def optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        """Return the optimizer: schedule, decay on kernels, clipping, averages."""
        own: dict[str, Any] = {
            "adamw": {"beta_2": self.beta_2},
            "lamb": {"beta_2": self.beta_2},
            "sgd": {"momentum": float(self.momentum)},
            "adafactor": {},
        }[self.optimizer_name]
        if self.ema_decay is not None:
            own |= {"use_ema": True, "ema_momentum": self.ema_decay}
        return OPTIMIZERS[self.optimizer_name](
            self.schedule(steps_per_epoch),
            weight_decay=self.weight_decay,
            layer_decay=self.layer_decay,
            global_clipnorm=self.gradient_clip_norm,
            **own,
        )

    def loss(self, from_logits: bool = True) -> keras.losses.Loss:
        """Return the loss; labels are class numbers or class probabilities."""
        return LOSSES[self.loss_name](self.label_smoothing, from_logits=from_logits)

    def prepare(self, model: keras.Model) -> None:
        """Give a built model the rates, dtype, frozen layers and LoRA of this recipe.

        What the recipe leaves at its default stays as the model has it. Doing it twice
        changes nothing.

        Raises:
            ValueError: if the model cannot do what the recipe says.
        """
        inside: Any = getattr(model, "model", model)
        names = (*RATES, "stochastic_depth_curve")
        rates = {name: getattr(self, name) for name in names}
        if any(rate is not None for rate in rates.values()):
            set_rates(model, **rates)
        if self.dtype is not None:
            set_dtype(model, self.dtype)
        if self.rematerialization is not None:
            set_rematerialization(model, self.rematerialization)
        if self.image_sizes and inside.input_shape[1] is not None:
            raise ValueError(
                "image_sizes needs a model for images of any size, received input "
                f"shape {inside.input_shape}. Build or load it with image_size=None."
            )
        patch = getattr(getattr(inside, "config", None), "patch_size", (1, 1))
        if any(size < max(patch) for _, size in self.image_sizes):
            raise ValueError(
                "Each of image_sizes must hold a patch, received image_sizes="
                f"{self.image_sizes} for a model with patch_size={patch}. Use larger "
                "images."
            )
        if self.train_only == "lora" and not has_lora(inside):
            add_lora(inside, self.lora_rank, layers=self.lora_layers)
        if self.train_only == "head":
            freeze_all_but_head(inside)
        if self.freeze_until is not None:
            freeze(inside, until=self.freeze_until)

    def training_model(
        self, model: keras.Model, teacher: keras.Model | None = None
    ) -> TrainingModel:
        """Return a `TrainingModel` around a model, with accumulation and teacher.

        Args:
            model: functional, such as a `ViT`.
            teacher: exactly with `distillation`. Default None.
        """
        return TrainingModel(
            model,
            accumulation_steps=self.accumulation_steps,
            teacher=teacher,
            distillation=self.distillation,
            alpha=self.distillation_alpha,
            temperature=self.distillation_temperature,
        )

    def compile(self, model: keras.Model, steps_per_epoch: int) -> None:
        """Prepare and compile a classifier: optimizer, loss and metric `accuracy`.

        Args:
            model: a `TrainingModel`, or any model if the recipe neither accumulates nor
                distils.
            steps_per_epoch: number of batches in an epoch.

        Raises:
            ValueError: if the model cannot do what the recipe says.
        """
        steps = getattr(model, "accumulation_steps", 1)
        taught = getattr(model, "distillation", None)
        kind = None if taught is None else taught.kind
        if steps != self.accumulation_steps or kind != self.distillation:
            raise ValueError(
                "accumulation_steps and distillation are done by a TrainingModel made "
                f"for them: the recipe has {self.accumulation_steps} and "
                f"{self.distillation!r}, received a model with {steps} and {kind!r}. "
                "Use recipe.training_model(model, teacher=...)."
            )
        self._check_head(output_activation(model))
        self.prepare(model)
        check_trains(model)
        optimizer = self.optimizer(steps_per_epoch)
        metrics: Any = [Accuracy()]
        # TrainingModel takes metrics and counts each image once; on a plain model the
        # sample weight 0 of padding has to reach them.
        name = "metrics" if isinstance(model, TrainingModel) else "weighted_metrics"
        if name == "weighted_metrics" and model.dtype_policy.name == "mixed_float16":
            optimizer = LossScaleOptimizer(optimizer)
        model.compile(
            optimizer=optimizer,
            loss=self.loss(from_logits=output_activation(model) is None),
            **{name: metrics},
        )

    def _check_head(self, activation: str | None) -> None:
        """Refuse a head whose probabilities are of the other kind of loss."""
        wrong = "sigmoid" if self.loss_name == "cross_entropy" else "softmax"
        if activation == wrong:
            raise ValueError(
                f"loss_name={self.loss_name!r} is not for a model that ends with "
                f"{wrong}, whose outputs mean something else. Use "
                "classifier_activation=None, which goes with each loss."
            )
