"""LAMB as apex and timm compute it."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.training.optimizer import TrainingOptimizer

# No kernel counts as smaller than DeiT III's are at first, with this deviation: the
# lower bound of the paper's phi. A head of zeros would not begin to learn.
_LOWEST_DEVIATION = 0.02


@keras.saving.register_keras_serializable(package="keras_vit")
class Lamb(TrainingOptimizer, keras.optimizers.Optimizer):
    """LAMB as in apex and timm: the weight decay is a part of the update.

    A kernel that decays moves by a share of its norm; all else, and everything without
    weight decay, moves as by Adam. `keras.optimizers.Lamb` scales biases, norms and
    layer scales too, and decays before it measures (Keras 3.15).

    Args:
        learning_rate: number or schedule. Default 1e-3.
        beta_1: share of the old value in the mean of the gradients, [0, 1).
            Default 0.9.
        beta_2: share of the old value in the mean of their squares, [0, 1).
            Default 0.999.
        epsilon: added to the root of that mean. Default 1e-7.
        **kwargs: `layer_decay` as of `AdamW`, and those of `keras.optimizers.Optimizer`
            such as `weight_decay`, `global_clipnorm` and `use_ema`.

    Raises:
        ValueError: if `layer_decay` is out of range.

    Example:
        ```python
        model = keras_vit.ViT.from_variant("test", num_classes=2)
        optimizer = keras_vit.training.Lamb(learning_rate=3e-3, weight_decay=0.02)
        model.compile(optimizer, keras_vit.training.CrossEntropy())
        model.optimizer.name  # 'lamb'
        ```

    Reference: arXiv:1904.00962, algorithm 2, with phi(z) = max(z, that of weights of
    deviation 0.02): a head of zeros learns as DeiT III's does, which starts with that.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: list[Any]) -> None:
        """Create the state of the optimizer for these variables."""
        if self.built:
            return
        super().build(variables)
        names = ["momentum", "velocity"]
        self.means, self.squares = self.add_optimizer_variables(variables, names)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self.index_of(variable)
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype) * self.multiplier(variable)
        step = ops.cast(self.iterations + 1, variable.dtype)
        mean, square = self.means[index], self.squares[index]
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        deviation = ops.sqrt(square / (1 - ops.power(self.beta_2, step)))
        update = mean / (1 - ops.power(self.beta_1, step))
        update = update / (deviation + self.epsilon)
        decay = self.decay_of(variable)
        if decay:
            update = update + variable * decay
            norm = ops.sqrt(ops.sum(ops.square(variable)))
            lowest = _LOWEST_DEVIATION * math.prod(variable.shape) ** 0.5
            of_update = ops.sqrt(ops.sum(ops.square(update)))
            rate = rate * ops.maximum(norm, lowest) / ops.maximum(of_update, 1e-30)
        self.assign_sub(variable, update * rate)

    def get_config(self) -> dict[str, Any]:
        own = {n: getattr(self, n) for n in ("beta_1", "beta_2", "epsilon")}
        return {**super().get_config(), **own}
