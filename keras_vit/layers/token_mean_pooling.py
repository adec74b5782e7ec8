"""The class token beside the patches' mean. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenMeanPooling(keras.layers.Layer):
    """Concatenate the first token with the average of the patch tokens.

    Args:
        num_prefix_tokens: number of tokens before the patches, at least 1. Default 1.

    Input shape: (B, T, D).
    Output shape: (B, 2 D).

    Raises:
        ValueError: if `num_prefix_tokens` is below 1 or leaves no token.

    Reference: arXiv:2304.07193, DINOv2's linear classifiers.
    """

    def __init__(self, num_prefix_tokens: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_prefix_tokens < 1:
            raise ValueError(
                "num_prefix_tokens must be at least 1, received "
                f"num_prefix_tokens={num_prefix_tokens}: the first token is the class "
                "token. Use MeanPooling without one."
            )
        self.num_prefix_tokens = num_prefix_tokens

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        if input_shape[1] is not None and input_shape[1] <= self.num_prefix_tokens:
            raise ValueError(
                "TokenMeanPooling needs a patch to average, received shape "
                f"{tuple(input_shape)} with num_prefix_tokens="
                f"{self.num_prefix_tokens}. Use a longer sequence or a smaller "
                "num_prefix_tokens."
            )

    def call(self, tokens: Tensor) -> Tensor:
        token = ops.reshape(tokens[:, :1], (-1, tokens.shape[-1]))  # (B, D)
        mean = ops.mean(tokens[:, self.num_prefix_tokens :], axis=1)  # (B, D)
        return ops.concatenate([token, mean], axis=-1)  # (B, 2 D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        width = input_shape[2]
        return (input_shape[0], None if width is None else 2 * width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_prefix_tokens": self.num_prefix_tokens}
