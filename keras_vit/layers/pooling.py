"""From tokens to one vector. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    Shape,
    Tensor,
    check_count,
    check_prefix,
    check_rank,
)


@keras.saving.register_keras_serializable(package="keras_vit")
class ClassTokenPooling(keras.layers.Layer):
    """Return the first token of a sequence.

    Input shape: (B, T, D).
    Output shape: (B, D).

    Example:
        ```python
        pooling = keras_vit.layers.ClassTokenPooling()
        tuple(pooling(keras.ops.ones((2, 197, 64))).shape)  # (2, 64)
        ```

    Reference: arXiv:2010.11929, equation 4.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")

    def call(self, tokens: Tensor) -> Tensor:
        # Not tokens[:, 0]: that op splits the graph of mobile runtimes in two.
        return ops.reshape(tokens[:, :1], (-1, tokens.shape[-1]))  # (B, D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return super().get_config()


@keras.saving.register_keras_serializable(package="keras_vit")
class MeanPooling(keras.layers.Layer):
    """Average the tokens of a sequence, without those before the patches.

    Args:
        num_prefix_tokens: number of tokens at the start that are left out, at least 0;
            1 leaves out the class token. Default 0.

    Input shape: (B, T, D).
    Output shape: (B, D).

    Raises:
        ValueError: if `num_prefix_tokens` is below 0 or leaves no token.

    Example:
        ```python
        pooling = keras_vit.layers.MeanPooling(num_prefix_tokens=1)
        tuple(pooling(keras.ops.ones((2, 197, 64))).shape)  # (2, 64)
        ```

    Reference: arXiv:2010.11929, appendix D.3 (global average pooling).
    """

    def __init__(self, num_prefix_tokens: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_count("num_prefix_tokens", num_prefix_tokens, 0)
        self.num_prefix_tokens = num_prefix_tokens

    def build(self, input_shape: Shape) -> None:
        check_prefix(self, input_shape, self.num_prefix_tokens)

    def call(self, tokens: Tensor) -> Tensor:
        return ops.mean(tokens[:, self.num_prefix_tokens :], axis=1)  # (B, D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_prefix_tokens": self.num_prefix_tokens}
