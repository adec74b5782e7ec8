"""Keras's optimizers with weight decay on matrices only and rates by depth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras

from keras_vit.distribution import current
from keras_vit.keras_internals import OptimizerHooks

# On torch `keras.optimizers.AdamW(...)` makes an object of a subclass that updates all
# weights at once; one of our own class would fall back to a loop over the weights.
# `__new__` alone makes no variable: that would start the backend at import, too early
# for `keras_vit.distribute` to join processes.
_AdamW = type(keras.optimizers.AdamW.__new__(keras.optimizers.AdamW))
_SGD = type(keras.optimizers.SGD.__new__(keras.optimizers.SGD))


class TrainingOptimizer(OptimizerHooks):
    """What the optimizers of this package add to Keras's own.

    - Weight decay on kernels alone. Biases, normalizations, tokens, positions and layer
      scales are left out by a rule, not by a list, so the rule also holds after saving
      and loading. The decay is decoupled: a kernel is multiplied by
      1 - learning rate * weight decay before the update.
    - `layer_decay`: the learning rate falls with the distance to the head.
    - Gradients are summed over the replicas before they are clipped.
    """

    def __init__(
        self, *args: Any, layer_decay: float | None = None, **kwargs: Any
    ) -> None:
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise ValueError(
                "layer_decay must be above 0 and at most 1, received "
                f"layer_decay={layer_decay!r}. It multiplies the learning rate once "
                "for each layer below the head; BEiT fine-tunes with 0.65 to 0.9."
            )
        super().__init__(*args, **kwargs)
        self.layer_decay = layer_decay
        # False inside `LossScaleOptimizer`, which sums over the replicas itself.
        self.reduces_gradients = True
        # Whether the end of `fit` leaves the averaged weights in the model, as Keras
        # does.
        self.averages_at_end = True

    def build(self, variables: list[Any]) -> None:
        """Create the state of the optimizer for these variables."""
        if not self.built:  # pyright: ignore[reportAttributeAccessIssue]
            self._decaying = tuple(decays(variable) for variable in variables)
            self._multipliers = multipliers(variables, self.layer_decay)
        super().build(variables)  # pyright: ignore[reportAttributeAccessIssue]

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Sum the gradients over the replicas, clip them, and update the variables."""
        grads = list(grads)
        if self.reduces_gradients:
            grads = current().reduce_gradients(grads)
        super().apply(grads, trainable_variables)  # pyright: ignore[reportAttributeAccessIssue]

    def finalize_variable_values(self, var_list: Any) -> None:
        """Leave the averaged weights in the model, if there are any."""
        if self.averages_at_end:
            super().finalize_variable_values(var_list)  # pyright: ignore[reportAttributeAccessIssue]

    def multiplier(self, variable: Any) -> float:
        """Return what the learning rate of one variable is multiplied by."""
        return self._multipliers[self.index_of(variable)]

    def decay_of(self, variable: Any) -> float:
        """Return the weight decay of one variable."""
        decay = self.weight_decay or 0.0  # pyright: ignore[reportAttributeAccessIssue]
        return decay if self._decaying[self.index_of(variable)] else 0.0

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()  # pyright: ignore[reportAttributeAccessIssue]
        return {**config, "layer_decay": self.layer_decay}


@keras.saving.register_keras_serializable(package="keras_vit")
class AdamW(TrainingOptimizer, _AdamW):
    """`keras.optimizers.AdamW` with weight decay on the kernels alone.

    Args:
        *args: those of the parent: `learning_rate`, `weight_decay`, `beta_1`, ...
        layer_decay: factor of the learning rate per layer below the head, (0, 1]; see
            `multipliers`. Default None: one rate for all.
        **kwargs: those of the parent, such as `global_clipnorm` and `use_ema`.

    Raises:
        ValueError: if `layer_decay` is out of range.

    Example:
        ```python
        model = keras_vit.ViT.from_variant("test", num_classes=2)
        optimizer = keras_vit.training.AdamW(1e-4, weight_decay=0.05, layer_decay=0.75)
        model.compile(optimizer, keras_vit.training.CrossEntropy())
        model.optimizer.layer_decay  # 0.75
        ```

    Reference: arXiv:1711.05101; arXiv:2106.10270, section 3.2; the list of timm's
    `no_weight_decay` and its rule that one-dimensional weights do not decay.
    """


@keras.saving.register_keras_serializable(package="keras_vit")
class SGD(TrainingOptimizer, _SGD):
    """`keras.optimizers.SGD` with decoupled weight decay on the kernels alone.

    Args:
        *args: those of the parent: `learning_rate`, `momentum`, `nesterov`, ...
        layer_decay: as of `AdamW`. Default None.
        **kwargs: those of the parent.

    Raises:
        ValueError: if `layer_decay` is out of range.

    Example:
        ```python
        model = keras_vit.ViT.from_variant("test", num_classes=2)
        optimizer = keras_vit.training.SGD(0.01, momentum=0.9, weight_decay=1e-4)
        model.compile(optimizer, keras_vit.training.CrossEntropy())
        model.optimizer.momentum  # 0.9
        ```

    Reference: arXiv:1711.05101, algorithm 1. torch.optim.SGD adds the decay to the
    gradient instead; without decay both are equal at a constant learning rate.
    """


@keras.saving.register_keras_serializable(package="keras_vit")
class Adafactor(TrainingOptimizer, keras.optimizers.Adafactor):
    """`keras.optimizers.Adafactor` with decoupled weight decay on the kernels alone.

    Args:
        *args: those of the parent: `learning_rate`, `beta_2_decay`, ...
        layer_decay: as of `AdamW`. Default None.
        **kwargs: those of the parent.

    Raises:
        ValueError: if `layer_decay` is out of range.

    Example:
        ```python
        model = keras_vit.ViT.from_variant("test", num_classes=2)
        optimizer = keras_vit.training.Adafactor(1e-3, weight_decay=1e-4)
        model.compile(optimizer, keras_vit.training.CrossEntropy())
        model.optimizer.weight_decay  # 0.0001
        ```

    Reference: arXiv:1804.04235. Without momentum, unlike that of arXiv:2106.04560.
    """


@keras.saving.register_keras_serializable(package="keras_vit")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """`keras.optimizers.LossScaleOptimizer` that looks for overflow on all replicas.

    For float16: a step with a gradient that is not finite is skipped, everywhere, and
    halves the scale. `Recipe.compile` and `TrainingModel.compile` use it for
    "mixed_float16".

    Args:
        inner_optimizer: optimizer of this package.
        *args: those of the parent: `initial_scale`, `dynamic_growth_steps`.
        **kwargs: those of the parent.

    Raises:
        TypeError: if the inner optimizer is not of this package, and would sum the
            gradients a second time.

    Example:
        ```python
        model = keras_vit.ViT.from_variant("test", num_classes=2, dtype="mixed_float16")
        inner = keras_vit.training.AdamW(1e-4)
        optimizer = keras_vit.training.LossScaleOptimizer(inner, initial_scale=1024.0)
        model.compile(optimizer, keras_vit.training.CrossEntropy())
        model.optimizer.initial_scale  # 1024.0
        ```

    Reference: arXiv:1710.03740, section 3.2.
    """

    def __init__(
        self, inner_optimizer: keras.optimizers.Optimizer, *args: Any, **kwargs: Any
    ) -> None:
        if not isinstance(inner_optimizer, TrainingOptimizer):
            raise TypeError(
                "LossScaleOptimizer takes an optimizer of keras_vit.training, received "
                f"{type(inner_optimizer).__name__}. Use keras_vit.training.AdamW, or "
                "keras.optimizers.LossScaleOptimizer on one device."
            )
        super().__init__(inner_optimizer, *args, **kwargs)
        inner_optimizer.reduces_gradients = False

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Sum the gradients over the replicas, then update unless one overflowed."""
        super().apply(current().reduce_gradients(list(grads)), trainable_variables)


def decays(variable: Any) -> bool:
    """Return whether weight decay applies: to kernels, the matrices of a model."""
    return variable.name == "kernel" and len(variable.shape) >= 2


def multipliers(
    variables: Sequence[Any], layer_decay: float | None
) -> tuple[float, ...]:
    """Return the factor of the learning rate of each variable.

    With L blocks, `layer_decay` to the power of L + 1 for the patch encoder and what
    else comes before the first block, L - i for `block_i`, and 0 for what follows the
    blocks, so that the head has the full rate.

    Args:
        variables: with paths such as "block_3/mlp/expand/kernel", in the order of the
            model.
        layer_decay: factor per layer; None for a factor of 1.

    Reference: arXiv:2106.08254 (BEiT), optim_factory.py of its code; timm's
    `param_groups_layer_decay` puts the last norm to the last block instead.
    """
    if layer_decay is None:
        return (1.0,) * len(variables)
    blocks = [_block(variable.path) for variable in variables]
    last = 1 + max((block for block in blocks if block is not None), default=-1)
    # In a model of your own, what comes before the blocks may have any name.
    first = next((i for i, block in enumerate(blocks) if block is not None), 0)
    distances = []
    for i, variable in enumerate(variables):
        block = -1 if i < first or _is_stem(variable.path) else blocks[i]
        distances.append(0 if block is None else last - block)
    return tuple(layer_decay**distance for distance in distances)


def _block(path: str) -> int | None:
    found = re.search(r"(?:^|/)(?:block|rotary_positions)_(\d+)/", path)
    return int(found.group(1)) if found else None


def _is_stem(path: str) -> bool:
    stems = {"patch_encoder", "pre_norm", "rotary_positions", "class_rotation"}
    return not stems.isdisjoint(path.split("/"))
