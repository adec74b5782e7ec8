"""Learned tokens without a patch. Shapes: B batch, T tokens, R registers, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_count, check_rank, pad


@keras.saving.register_keras_serializable(package="keras_vit")
class RegisterTokens(keras.layers.Layer):
    """Prepend learned tokens to a sequence, the same for each image.

    Args:
        num_tokens: R, at least 1.

    Input shape: (B, T, D).
    Output shape: (B, R + T, D).

    Raises:
        ValueError: if `num_tokens` is below 1 or the input is not of rank 3.

    Example:
        ```python
        registers = keras_vit.layers.RegisterTokens(num_tokens=4)
        tuple(registers(keras.ops.ones((2, 196, 64))).shape)  # (2, 200, 64)
        ```

    Reference: arXiv:2309.16588.
    """

    def __init__(self, num_tokens: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("num_tokens", num_tokens, 1)
        self.num_tokens = num_tokens

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        shape = (1, self.num_tokens, input_shape[-1])
        normal = keras.initializers.TruncatedNormal(stddev=0.02)
        self.tokens = self.add_weight(shape, normal, name="tokens")

    def call(self, tokens: Tensor) -> Tensor:
        # Pad both and add, as ClassToken does, so that no op needs the batch size.
        registers = ops.cast(self.tokens, self.compute_dtype)
        registers = pad(registers, 1, 0, ops.shape(tokens)[1])
        return pad(tokens, 1, self.num_tokens) + registers

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, length, width = input_shape
        return (batch, None if length is None else length + self.num_tokens, width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens}
