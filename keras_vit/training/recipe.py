"""How a model is trained: one frozen object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import keras

from keras_vit.data.augmenting.augmentation import Augmentation
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.freezing import first_layers
from keras_vit.lora import LORA_LAYERS, LoRA, has_lora
from keras_vit.output_activation import output_activation
from keras_vit.surgery import changed
from keras_vit.training.distillation import DistillationKind
from keras_vit.training.lamb import Lamb
from keras_vit.training.loss import LOSSES, LossName, check_outputs
from keras_vit.training.metric import F1, Accuracy
from keras_vit.training.optimizer import SGD, Adafactor, AdamW, LossScaleOptimizer
from keras_vit.training.recipe_checks import (
    check_options,
    check_recipe,
    check_trainable_outputs,
    image_phases,
)
from keras_vit.training.schedule import Curve, WarmupSchedule
from keras_vit.training.step import TrainingModel, check_trains

OPTIMIZERS = {"adamw": AdamW, "sgd": SGD, "adafactor": Adafactor, "lamb": Lamb}
# Fields of ViTConfig that a recipe changes in the copy that it trains.
RATES = (
    "stochastic_depth_rate",
    "stochastic_depth_curve",
    "dropout_rate",
    "attention_dropout_rate",
    "patch_dropout_rate",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides how a model is trained.

    `train` uses it, and each part can be taken and used alone: `schedule`, `optimizer`,
    `loss`, `prepared`, `training_copy`, `compile` and the fields.

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
            big_vision's "sigmoid_cross_entropy", labels as they are, summed; or
            "asymmetric", for many classes of which an image has a few.
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
        image_sizes: progressive resizing: (first epoch from 0, pixels) of each phase.
            Default (): that of the model.
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
        patience: epochs without a better one on the validation part after which the
            run ends, at least 1. Default None: it goes on to the last.
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
    patience: int | None = None
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

    def with_epochs(self, epochs: int) -> Recipe:
        """Return this recipe for another number of epochs.

        It warms up for the same share of them.

        Args:
            epochs: passes over the training images, at least 1.

        Raises:
            ValueError: if it is out of range.
        """
        share = self.warmup_epochs / self.epochs
        return replace(self, epochs=epochs, warmup_epochs=share * epochs)

    def schedule(
        self, steps_per_epoch: int
    ) -> keras.optimizers.schedules.LearningRateSchedule:
        """Return the learning rate by step: linear warm-up, then the curve.

        Args:
            steps_per_epoch: batches of one epoch, at least 1.
        """
        return WarmupSchedule(
            self.learning_rate,
            self.epochs * steps_per_epoch,
            warmup_steps=round(self.warmup_epochs * steps_per_epoch),
            curve=self.schedule_name,
            final_learning_rate=self.final_learning_rate,
            cooldown_steps=round(self.cooldown_epochs * steps_per_epoch),
        )

    def optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        """Return the optimizer: schedule, decay on kernels, clipping, averages.

        Args:
            steps_per_epoch: batches of one epoch, at least 1.
        """
        own: dict[str, Any] = {}
        if self.optimizer_name in ("adamw", "lamb"):
            own["beta_2"] = self.beta_2
        elif self.optimizer_name == "sgd":
            own["momentum"] = float(self.momentum)
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
        """Return the loss; labels are class numbers or class probabilities.

        Args:
            from_logits: whether the model returns logits (default) or probabilities.
        """
        return LOSSES[self.loss_name](self.label_smoothing, from_logits=from_logits)

    def prepared(self, model: keras.Model) -> Any:
        """Return a copy with the rates, dtype, frozen layers and LoRA of this recipe.

        What the recipe leaves at its default stays as the model has it, and so do LoRA
        factors that it has already. For `image_sizes` a `ViT` takes images of any size.

        Raises:
            ValueError: if the model cannot do what the recipe says.
        """
        check_trainable_outputs(model)
        changes = self._rates()
        if self.image_sizes:
            self._check_image_sizes(model)
            if model.input_shape[1] is not None:
                changes["image_size"] = None
        adds_lora = self.train_only == "lora" and not has_lora(model)
        return changed(
            model,
            dtype=self.dtype,
            rematerialization=self.rematerialization or "same",
            lora=LoRA(self.lora_rank, layers=self.lora_layers) if adds_lora else "same",
            train_only="head" if self.train_only == "head" else None,
            freeze_until=self.freeze_until,
            **changes,
        )

    def training_copy(
        self, model: keras.Model, teacher: keras.Model | None = None
    ) -> TrainingModel:
        """Return a `TrainingModel` around a prepared copy, `training_copy(...).model`.

        Args:
            model: functional, such as a `ViT`; stays as it is.
            teacher: exactly with `distillation`. Default None.
        """
        return TrainingModel(
            self.prepared(model),
            accumulation_steps=self.accumulation_steps,
            teacher=teacher,
            distillation=self.distillation,
            alpha=self.distillation_alpha,
            temperature=self.distillation_temperature,
        )

    def compile(
        self,
        model: keras.Model,
        steps_per_epoch: int,
        *,
        is_multi_label: bool = False,
    ) -> None:
        """Compile a classifier with optimizer, loss and metric `accuracy`.

        Args:
            model: from `training_copy`; or from `prepared`, if the recipe neither
                accumulates nor distils.
            steps_per_epoch: number of batches in an epoch.
            is_multi_label: whether an image may have several labels: the metric is then
                `f1`. Default False.

        Raises:
            ValueError: if the model is not what the recipe trains.
        """
        steps = getattr(model, "accumulation_steps", 1)
        taught = getattr(model, "distillation", None)
        kind = None if taught is None else taught.kind
        if steps != self.accumulation_steps or kind != self.distillation:
            raise ValueError(
                "accumulation_steps and distillation are done by a TrainingModel made "
                f"for them: the recipe has {self.accumulation_steps} and "
                f"{self.distillation!r}, received a model with {steps} and {kind!r}. "
                "Use recipe.training_copy(model, teacher=...)."
            )
        self._check_head(output_activation(model))
        self._check_prepared(getattr(model, "model", model))
        check_trains(model)
        optimizer = self.optimizer(steps_per_epoch)
        is_logit = output_activation(model) is None
        loss = self.loss(from_logits=is_logit)
        check_outputs(loss, model.output_shape[-1])
        metric = F1 if is_multi_label else Accuracy
        metrics: Any = [metric(from_logits=is_logit)]
        # TrainingModel takes metrics and counts each image once; on a plain model the
        # sample weight 0 of padding has to reach them.
        name = "metrics" if isinstance(model, TrainingModel) else "weighted_metrics"
        if name == "weighted_metrics" and model.dtype_policy.name == "mixed_float16":
            optimizer = LossScaleOptimizer(optimizer)
        model.compile(optimizer=optimizer, loss=loss, **{name: metrics})

    def _rates(self) -> dict[str, Any]:
        """Return the rates of the model that this recipe sets."""
        rates = {name: getattr(self, name) for name in RATES}
        return {name: rate for name, rate in rates.items() if rate is not None}

    def _check_image_sizes(self, model: keras.Model) -> None:
        config = getattr(model, "config", None)
        if config is None and model.input_shape[1] is not None:
            raise ValueError(
                "image_sizes needs a ViT or a model for images of any size, received "
                f"input shape {model.input_shape}. Build it for (None, None, channels)."
            )
        patch = getattr(config, "patch_size", (1, 1))
        if any(size < max(patch) for _, size in self.image_sizes):
            raise ValueError(
                "Each of image_sizes must hold a patch, received image_sizes="
                f"{self.image_sizes} for a model with patch_size={patch}. Use larger "
                "images."
            )

    def _check_prepared(self, model: keras.Model) -> None:
        """Refuse a model that is not as this recipe trains it.

        Rematerialization is not looked for: without it, a model learns the same.
        """
        config, body = getattr(model, "config", None), model.layers[:-1]
        missing = [n for n, r in self._rates().items() if getattr(config, n, None) != r]
        if self.dtype is not None:
            wanted: Any = keras.dtype_policies.get(self.dtype)
            missing += ["dtype"] if model.dtype_policy.name != wanted.name else []
        if self.train_only == "lora" and not has_lora(model):
            missing.append("train_only")
        if self.train_only == "head" and any(x.trainable_weights for x in body):
            missing.append("train_only")
        if self.freeze_until is not None:
            first = first_layers(model, self.freeze_until)
            if any(layer.trainable_weights for layer in first):
                missing.append("freeze_until")
        if missing:
            raise ValueError(
                "A recipe trains a copy that has its rates, dtype and frozen layers, "
                f"received {model.name!r} without its {missing}. Use trained = "
                "recipe.training_copy(model), or recipe.prepared(model)."
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
