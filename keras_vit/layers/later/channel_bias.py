"""A learned number for each channel. Shapes: D width."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import PlainLayer, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_vit")
class ChannelBias(PlainLayer):
    """Add a learned number to each channel; zero at the start.

    Input shape: (..., D).
    Output shape: (..., D).

    Example:
        ```python
        x = keras.ops.ones((2, 5, 8))
        y = keras_vit.layers.ChannelBias()(x)
        bool(keras.ops.all(x == y))  # True
        ```
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        self.bias = self.add_weight((input_shape[-1],), "zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        # The cast is for rematerialization, which runs outside Keras's autocast.
        return x + ops.cast(self.bias, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()
