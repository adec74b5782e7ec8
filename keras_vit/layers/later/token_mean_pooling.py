"""Class tokens beside the patches' mean. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_count, check_prefix


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenMeanPooling(keras.layers.Layer):
    """Concatenate the first tokens with the average of the patch tokens.

    Args:
        num_prefix_tokens: number of tokens before the patches, at least 1. Default 1.
        num_class_tokens: how many of them are read, at least 1. Default 1, the class
            token; more are those that `EarlierTokens` puts before it.
        use_mean: whether the average of the patches follows. Default True.

    Input shape: (B, T, D).
    Output shape: (B, (num_class_tokens + use_mean) D).

    Raises:
        ValueError: if `num_prefix_tokens` is below `num_class_tokens` or leaves no
            token.

    Example:
        ```python
        pooling = keras_vit.layers.TokenMeanPooling(num_prefix_tokens=1)
        tuple(pooling(keras.ops.ones((2, 197, 64))).shape)  # (2, 128)
        ```

    Reference: arXiv:2304.07193, DINOv2's linear classifiers.
    """

    def __init__(
        self,
        num_prefix_tokens: int = 1,
        num_class_tokens: int = 1,
        use_mean: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # The first token is the class token; MeanPooling does without one.
        check_count("num_class_tokens", num_class_tokens, 1)
        check_count("num_prefix_tokens", num_prefix_tokens, num_class_tokens)
        self.num_prefix_tokens = num_prefix_tokens
        self.num_class_tokens = num_class_tokens
        self.use_mean = use_mean

    def build(self, input_shape: Shape) -> None:
        check_prefix(self, input_shape, self.num_prefix_tokens)

    def call(self, tokens: Tensor) -> Tensor:
        count = self.num_class_tokens
        token = ops.reshape(tokens[:, :count], (-1, count * tokens.shape[-1]))
        if not self.use_mean:
            return token  # (B, n D)
        mean = ops.mean(tokens[:, self.num_prefix_tokens :], axis=1)  # (B, D)
        return ops.concatenate([token, mean], axis=-1)  # (B, (n + 1) D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        width = input_shape[2]
        parts = self.num_class_tokens + self.use_mean
        return (input_shape[0], None if width is None else parts * width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_prefix_tokens": self.num_prefix_tokens,
            "num_class_tokens": self.num_class_tokens,
            "use_mean": self.use_mean,
        }
