"""Layer normalization that computes in float32. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.policies import wide_dtype
from keras_vit.layers.root_mean_square import divide_by_root_mean_square
from keras_vit.layers.shapes import Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_vit")
class LayerNormalization(keras.layers.Layer):
    """Normalize the last axis to zero mean and unit variance, then scale and shift.

    Computes in float32 under each dtype policy, because the variance of half-precision
    activations overflows; the output has the compute dtype. Same function as
    `keras.layers.LayerNormalization`, written so that LiteRT keeps it as seven plain
    ops, which the full-integer quantizer can handle.

    Args:
        epsilon: added to the variance, above 0. Default 1e-6, as in the paper's code.

    Input shape: (..., D).
    Output shape: (..., D).

    Reference: arXiv:1607.06450.
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        # autocast=False: under a half-precision policy the float32 values are needed.
        self.gamma = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", autocast=False, name="gamma"
        )
        self.beta = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", autocast=False, name="beta"
        )

    def call(self, x: Tensor) -> Tensor:
        dtype = wide_dtype(self)
        x = ops.cast(x, dtype)
        gamma, beta = ops.cast(self.gamma, dtype), ops.cast(self.beta, dtype)
        if keras.backend.backend() == "torch" and not _is_exporting():
            # One kernel, where the ops below make several temporaries.
            x = ops.layer_normalization(x, gamma, beta, epsilon=self.epsilon)
            return ops.cast(x, self.compute_dtype)
        d = x - ops.mean(x, axis=-1, keepdims=True)
        x = divide_by_root_mean_square(d, self.epsilon) * gamma + beta
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


def _is_exporting() -> bool:
    import torch

    return torch.compiler.is_exporting()
