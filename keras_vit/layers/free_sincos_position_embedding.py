"""Computed positions for images of any size. B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.patch_grid import grid_coordinates
from keras_vit.layers.shapes import Shape, Tensor, check_rank
from keras_vit.layers.sincos_position_embedding import sincos_table


@keras.saving.register_keras_serializable(package="keras_vit")
class FreeSinCosPositionEmbedding(keras.layers.Layer):
    """Add the sines and cosines of `SinCosPositionEmbedding` on the grid of the images.

    Args:
        patch_size: pixels, (height, width).
        num_prefix_tokens: number of tokens before the patches, which get nothing.
            Default 0.
        temperature: of the frequencies. Default 10000.
        use_endpoint: as for `SinCosPositionEmbedding`. Default True.

    Call arguments:
        tokens: (B, T, D), D a multiple of 4.
        images: (B, H, W, C) that the patches were cut from; only their size matters.

    Output shape: (B, T, D).

    Raises:
        ValueError: if an input has another shape.
    """

    def __init__(
        self,
        patch_size: tuple[int, int],
        num_prefix_tokens: int = 0,
        temperature: float = 10000.0,
        use_endpoint: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size = (patch_size[0], patch_size[1])
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature
        self.use_endpoint = use_endpoint

    def build(self, tokens_shape: Shape, images_shape: Shape) -> None:
        check_rank(self, tokens_shape, "(B, T, D)")
        check_rank(self, images_shape, "(B, H, W, C)")
        if (tokens_shape[-1] or 1) % 4:
            raise ValueError(
                "FreeSinCosPositionEmbedding takes tokens of a width that is a "
                f"multiple of 4, received shape {tuple(tokens_shape)}. Choose such a "
                "hidden_dim."
            )

    def call(self, tokens: Tensor, images: Tensor) -> Tensor:
        rows, columns, _ = grid_coordinates(images, self.patch_size)
        table = sincos_table(
            rows, columns, tokens.shape[-1], self.temperature, self.use_endpoint
        )  # (N, D)
        table = ops.pad(table, [[self.num_prefix_tokens, 0], [0, 0]])  # (T, D)
        return tokens + ops.cast(table[None], self.compute_dtype)

    def compute_output_shape(self, tokens_shape: Shape, images_shape: Shape) -> Shape:
        return tuple(tokens_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "num_prefix_tokens": self.num_prefix_tokens,
            "temperature": self.temperature,
            "use_endpoint": self.use_endpoint,
        }
