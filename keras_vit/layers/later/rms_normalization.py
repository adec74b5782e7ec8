"""Root-mean-square normalization in float32. Shapes: D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import PlainLayer, Shape, Tensor, wide_dtype
from keras_vit.layers.normalization import FLOAT16_SCALE, divide_by_root_mean_square
from keras_vit.own_arguments import own_arguments


@keras.saving.register_keras_serializable(package="keras_vit")
class RMSNormalization(PlainLayer):
    """Divide the last axis by its root mean square, then scale.

    x / sqrt(mean(x^2) + epsilon) * gamma, in float32 under each dtype policy; the
    output has the compute dtype. Same function as `keras.layers.RMSNormalization`, with
    the name `gamma` that `LayerNormalization` has, too, and no fused op that LiteRT
    lacks.

    Args:
        epsilon: added to the mean square, above 0. Default 1e-6.
        use_float16_squares: as for `LayerNormalization`. Default False.

    Input shape: (..., D).
    Output shape: (..., D).

    Example:
        ```python
        norm = keras_vit.layers.RMSNormalization()
        x = keras.random.normal((2, 5, 64))
        round(float(keras.ops.mean(norm(x) ** 2)), 3)  # 1.0
        ```

    Reference: arXiv:1910.07467.
    """

    def __init__(
        self, epsilon: float = 1e-6, use_float16_squares: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.use_float16_squares = use_float16_squares

    def build(self, input_shape: Shape) -> None:
        self.gamma = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", autocast=False, name="gamma"
        )

    def call(self, x: Tensor) -> Tensor:
        dtype = wide_dtype(self)
        x = ops.cast(x, dtype)
        scale = FLOAT16_SCALE if self.use_float16_squares else None
        x = divide_by_root_mean_square(x, self.epsilon, scale)
        x = x * ops.cast(self.gamma, dtype)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def copied(self, **kwargs: Any) -> RMSNormalization:
        """Return a new layer with the same options."""
        return RMSNormalization(self.epsilon, self.use_float16_squares, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}
