"""Put patch tokens where they were in the image. B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank
from keras_vit.own_arguments import own_arguments


@keras.saving.register_keras_serializable(package="keras_vit")
class TokenGrid(keras.layers.Layer):
    """Arrange the patch tokens in rows and columns, without the tokens before them.

    Args:
        patch_size: pixels, (height, width).
        num_prefix_tokens: number of tokens before the patches. Default 0.

    Call arguments:
        tokens: (B, T, D), the patches row by row, as `Patches` cuts them.
        images: (B, H, W, C) that they were made of; only their size matters.

    Output shape: (B, H // P, W // P, D).

    Raises:
        ValueError: if an input has another rank.

    Example:
        ```python
        grid = keras_vit.layers.TokenGrid(patch_size=(16, 16), num_prefix_tokens=1)
        images, tokens = keras.ops.ones((1, 224, 160, 3)), keras.ops.ones((1, 141, 64))
        tuple(grid(tokens, images).shape)  # (1, 14, 10, 64)
        ```
    """

    def __init__(
        self, patch_size: tuple[int, int], num_prefix_tokens: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size = (patch_size[0], patch_size[1])
        self.num_prefix_tokens = num_prefix_tokens

    def build(self, tokens_shape: Shape, images_shape: Shape) -> None:
        check_rank(self, tokens_shape, "(B, T, D)")
        check_rank(self, images_shape, "(B, H, W, C)")

    def call(self, tokens: Tensor, images: Tensor) -> Tensor:
        shape: Any = ops.shape(images)
        rows, columns = shape[1] // self.patch_size[0], shape[2] // self.patch_size[1]
        tokens = tokens[:, self.num_prefix_tokens :]  # (B, N, D)
        return ops.reshape(tokens, (-1, rows, columns, tokens.shape[-1]))

    def compute_output_shape(self, tokens_shape: Shape, images_shape: Shape) -> Shape:
        pairs = zip(images_shape[1:3], self.patch_size, strict=True)
        rows, columns = (None if n is None else n // patch for n, patch in pairs)
        return (tokens_shape[0], rows, columns, tokens_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}
