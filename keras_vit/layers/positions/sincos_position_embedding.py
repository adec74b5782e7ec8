"""Positions that are computed, not learned. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank, pad
from keras_vit.layers.positions.patch_grid import grid_coordinates, grid_of
from keras_vit.own_arguments import own_arguments


@keras.saving.register_keras_serializable(package="keras_vit")
class SinCosPositionEmbedding(keras.layers.Layer):
    """Add sines and cosines of column and row to each patch token.

    A quarter of the channels each holds sin(x w), cos(x w), sin(y w), cos(y w), x the
    column and y the row, with w_m = temperature^(-m / M).

    Args:
        grid_size: number of patches, (rows, columns). Default None: that of the images,
            which are passed to the call.
        patch_size: pixels, (height, width), instead of `grid_size`. Default None.
        num_prefix_tokens: number of tokens before the patches, which get nothing.
            Default 0.
        temperature: of the frequencies. Default 10000.
        use_endpoint: whether M is D / 4 - 1, so that the last frequency is
            1 / temperature (default), or D / 4.

    Call arguments:
        tokens: (B, T, D), D a multiple of 4.
        images: (B, H, W, C) that the patches were cut from, with `patch_size`; only
            their size matters. Default None.

    Input shape: (B, T, D), D a multiple of 4.
    Output shape: (B, T, D).

    Raises:
        ValueError: if the input has another shape, or not one of `grid_size` and
            `patch_size` is given.

    Example:
        ```python
        positions = keras_vit.layers.SinCosPositionEmbedding(grid_size=(14, 14))
        tuple(positions(keras.ops.zeros((2, 196, 64))).shape)  # (2, 196, 64)
        positions.weights  # []
        ```

    Reference: arXiv:2205.01580; google-research/big_vision, models/vit.py,
    posemb_sincos_2d (with the endpoint); arXiv:2411.14402, AIMv2 (without).
    """

    def __init__(
        self,
        grid_size: tuple[int, int] | None = None,
        patch_size: tuple[int, int] | None = None,
        num_prefix_tokens: int = 0,
        temperature: float = 10000.0,
        use_endpoint: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (grid_size is None) == (patch_size is None):
            raise ValueError(
                "Computed positions need grid_size, the number of patches (rows, "
                "columns), or patch_size for images of any size, received grid_size="
                f"{grid_size}, patch_size={patch_size}. Pass one of the two."
            )
        self.grid_size = grid_size and tuple(grid_size)
        self.patch_size = patch_size and tuple(patch_size)
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature
        self.use_endpoint = use_endpoint

    def build(self, tokens_shape: Shape, images_shape: Shape | None = None) -> None:
        check_rank(self, tokens_shape, "(B, T, D)")
        length = tokens_shape[1]
        if self.grid_size is not None:
            length = self.num_prefix_tokens + math.prod(self.grid_size)
        if tokens_shape[1] not in (None, length) or (tokens_shape[-1] or 1) % 4:
            raise ValueError(
                f"SinCosPositionEmbedding was made for {length} tokens of a width that "
                f"is a multiple of 4, received shape {tuple(tokens_shape)}. Make it "
                "with the grid_size of the patches, and choose such a hidden_dim."
            )

    def call(self, tokens: Tensor, images: Tensor | None = None) -> Tensor:
        grid: Any = self.grid_size or grid_of(images, self.patch_size)
        rows, columns = grid_coordinates(grid)
        table = sincos_table(
            rows, columns, tokens.shape[-1], self.temperature, self.use_endpoint
        )  # (N, D)
        table = pad(table[None], 1, self.num_prefix_tokens)  # (1, T, D)
        return tokens + ops.cast(table, self.compute_dtype)

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return layer_call  # A part of PatchEncoder, which does it as a whole.

    def compute_output_shape(
        self, tokens_shape: Shape, images_shape: Shape | None = None
    ) -> Shape:
        return tuple(tokens_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}


def sincos_table(
    rows: Tensor, columns: Tensor, width: int, temperature: float, use_endpoint: bool
) -> Tensor:
    """Return the positions of patches, (N, width); see `SinCosPositionEmbedding`.

    Args:
        rows: of the patches, float32 (N,).
        columns: of the patches, float32 (N,).
        width: D, a multiple of 4.
        temperature: of the frequencies.
        use_endpoint: whether the last frequency is 1 / temperature.
    """
    count = width // 4
    steps = max(1, count - 1 if use_endpoint else count)
    exponents = ops.arange(count, dtype="float32")
    frequencies = ops.exp(exponents * (-math.log(temperature) / steps))
    x, y = columns[:, None] * frequencies, rows[:, None] * frequencies
    return ops.concatenate([ops.sin(x), ops.cos(x), ops.sin(y), ops.cos(y)], axis=1)
