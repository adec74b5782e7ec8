"""A learned factor for each channel of a branch. Shapes: D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import PlainLayer, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_vit")
class LayerScale(PlainLayer):
    """Multiply each channel by a learned factor that starts small.

    Args:
        initial_value: of all factors. Default 1e-5.

    Input shape: (..., D).
    Output shape: (..., D).

    Example:
        ```python
        scale = keras_vit.layers.LayerScale(initial_value=0.5)
        float(scale(keras.ops.ones((1, 2, 3)))[0, 0, 0])  # 0.5
        ```

    Reference: arXiv:2103.17239, equation 2.
    """

    def __init__(self, initial_value: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial_value = initial_value

    def build(self, input_shape: Shape) -> None:
        constant = keras.initializers.Constant(self.initial_value)
        self.gamma = self.add_weight((input_shape[-1],), constant, name="gamma")

    def call(self, x: Tensor) -> Tensor:
        # The cast is for rematerialization, which runs outside Keras's autocast.
        return x * ops.cast(self.gamma, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_value": self.initial_value}
