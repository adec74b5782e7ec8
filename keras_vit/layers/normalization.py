"""Layer normalization that computes in float32. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import PlainLayer, Shape, Tensor, wide_dtype

# By what values are multiplied before they are squared if float16 has to hold them. A
# power of two, so that nothing is rounded: float32 results stay the same.
FLOAT16_SCALE = 1 / 16


@keras.saving.register_keras_serializable(package="keras_vit")
class LayerNormalization(PlainLayer):
    """Normalize the last axis to zero mean and unit variance, then scale and shift.

    Computes in float32 under each dtype policy, because the variance of half-precision
    activations overflows; the output has the compute dtype. Same function as
    `keras.layers.LayerNormalization`, written so that LiteRT keeps it as seven plain
    ops, which the full-integer quantizer can handle.

    Args:
        epsilon: added to the variance, above 0. Default 1e-6, as in the paper's code.
        use_float16_squares: whether a sixteenth of the values is squared. GPUs of
            phones compute in float16, whose largest number is 65504: the square of 256
            overflows, and the normalized token is zero. With this it is that of 4096.
            The numbers in float32 stay the same. Default False.

    Input shape: (..., D).
    Output shape: (..., D).

    Example:
        ```python
        norm = keras_vit.layers.LayerNormalization()
        y = norm(keras.random.normal((2, 5, 64), mean=3.0))
        abs(round(float(keras.ops.mean(y)), 3))  # 0.0
        round(float(keras.ops.std(y)), 3)  # 1.0
        ```

    Reference: arXiv:1607.06450.
    """

    def __init__(
        self, epsilon: float = 1e-6, use_float16_squares: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.use_float16_squares = use_float16_squares

    def build(self, input_shape: Shape) -> None:
        # autocast=False: under a half-precision policy the float32 values are needed.
        options = {"shape": (input_shape[-1],), "autocast": False}
        self.gamma = self.add_weight(initializer="ones", name="gamma", **options)
        self.beta = self.add_weight(initializer="zeros", name="beta", **options)

    def call(self, x: Tensor) -> Tensor:
        dtype = wide_dtype(self)
        x = ops.cast(x, dtype)
        gamma, beta = ops.cast(self.gamma, dtype), ops.cast(self.beta, dtype)
        if keras.backend.backend() == "torch" and not _is_exporting():
            # One kernel, where the ops below make several temporaries.
            x = ops.layer_normalization(x, gamma, beta, epsilon=self.epsilon)
            return ops.cast(x, self.compute_dtype)
        d = x - ops.mean(x, axis=-1, keepdims=True)
        scale = FLOAT16_SCALE if self.use_float16_squares else None
        x = divide_by_root_mean_square(d, self.epsilon, scale) * gamma + beta
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def copied(self, **kwargs: Any) -> LayerNormalization:
        """Return a new layer with the same options."""
        return LayerNormalization(self.epsilon, self.use_float16_squares, **kwargs)

    def get_config(self) -> dict[str, Any]:
        squares = {"use_float16_squares": self.use_float16_squares}
        return {**super().get_config(), "epsilon": self.epsilon, **squares}


def _is_exporting() -> bool:
    import torch

    return torch.compiler.is_exporting()


def divide_by_root_mean_square(
    x: Tensor, epsilon: float, scale: float | None = None
) -> Tensor:
    """Return x / sqrt(mean(x^2) + epsilon), (..., D).

    Args:
        x: (..., D).
        epsilon: added to the mean square.
        scale: by what x is multiplied before it is squared. Default None: not at all.
    """
    if scale is not None:
        x, epsilon = x * scale, epsilon * scale**2
    # x * x, not ops.square(x): after a subtraction the converter fuses the latter to an
    # op that full integer quantization leaves in float.
    return x * ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + epsilon)
