"""Average the tokens before the patches. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_count, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class PrefixPooling(keras.layers.Layer):
    """Average the first tokens: several class tokens, or class and distillation token.

    Args:
        num_tokens: how many, at least 1.

    Input shape: (B, T, D).
    Output shape: (B, D).

    Raises:
        ValueError: if `num_tokens` is below 1 or the sequence is shorter.

    Example:
        ```python
        pooling = keras_vit.layers.PrefixPooling(num_tokens=2)
        tuple(pooling(keras.ops.ones((2, 198, 64))).shape)  # (2, 64)
        ```

    Reference: arXiv:2012.12877, section 4 (both tokens at test time).
    """

    def __init__(self, num_tokens: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("num_tokens", num_tokens, 1)
        self.num_tokens = num_tokens

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        if input_shape[1] is not None and input_shape[1] < self.num_tokens:
            raise ValueError(
                f"PrefixPooling averages num_tokens={self.num_tokens} tokens, received "
                f"shape {tuple(input_shape)}. Use a longer sequence or a smaller "
                "num_tokens."
            )

    def call(self, tokens: Tensor) -> Tensor:
        return ops.mean(tokens[:, : self.num_tokens], axis=1)  # (B, D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens}
