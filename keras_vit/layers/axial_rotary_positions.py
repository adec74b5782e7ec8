"""Rotations by row and column. Shapes: T tokens, N patches, d width of a head."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.patch_grid import (
    check_head_dim,
    check_order,
    grid_coordinates,
    rotation_shape,
)
from keras_vit.layers.rotation import check_layout, rotation_table
from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class AxialRotaryPositions(keras.layers.Layer):
    """The rotation of each token by its row and its column.

    Half of a head's channel pairs turn with the row, half with the column, at
    frequencies temperature^(-m / n), m = 0 ... n - 1, n = d / 4. Tokens before the
    patches are not rotated.

    Args:
        head_dim: d, width of a head, a multiple of 4.
        patch_size: pixels, (height, width).
        num_prefix_tokens: number of tokens before the patches. Default 0.
        temperature: ratio of the slowest to the fastest wavelength. Default 10000.
        offset: added to rows and columns, in patches. Default 0.
        order: "yx", rows in the first channels (default), or "xy", columns.
        reference_grid: (rows, columns) of the grid that the frequencies were made for;
            another grid is stretched to it. Default None: patches are counted.
        layout: "interleaved" (default) or "half", see `rotation_table`.

    Input shape: images, (B, H, W, C); only their size matters.
    Output shape: (2, T, 1, d): cosines and sines.

    Raises:
        ValueError: if an option is out of range.

    Reference: arXiv:2104.09864; arXiv:2303.11331 (EVA-02); timm,
    layers/pos_embed_sincos.py, RotaryEmbeddingCat.
    """

    def __init__(
        self,
        head_dim: int,
        patch_size: tuple[int, int],
        num_prefix_tokens: int = 0,
        temperature: float = 10000.0,
        offset: float = 0.0,
        order: str = "yx",
        reference_grid: tuple[int, int] | None = None,
        layout: str = "interleaved",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_head_dim(head_dim)
        check_layout(layout)
        check_order(order)
        self.head_dim = head_dim
        self.patch_size = (patch_size[0], patch_size[1])
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature
        self.offset = offset
        self.order = order
        self.reference_grid = reference_grid and tuple(reference_grid)
        self.layout = layout

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")

    def call(self, images: Tensor) -> Tensor:
        rows, columns, (height, width) = grid_coordinates(images, self.patch_size)
        rows, columns = rows + self.offset, columns + self.offset
        if self.reference_grid is not None:
            rows = rows * (self.reference_grid[0] / ops.cast(height, "float32"))
            columns = columns * (self.reference_grid[1] / ops.cast(width, "float32"))
        axes = (rows, columns) if self.order == "yx" else (columns, rows)
        count = self.head_dim // 4
        frequencies = ops.exp(
            ops.arange(count, dtype="float32") * (-math.log(self.temperature) / count)
        )
        angles = ops.concatenate([axis[:, None] * frequencies for axis in axes], axis=1)
        angles = ops.pad(angles, [[self.num_prefix_tokens, 0], [0, 0]])  # (T, d / 2)
        rotation = rotation_table(angles[:, None], self.layout)
        return ops.cast(rotation, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return rotation_shape(
            input_shape, self.patch_size, self.num_prefix_tokens, 1, self.head_dim
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "head_dim": self.head_dim,
            "patch_size": self.patch_size,
            "num_prefix_tokens": self.num_prefix_tokens,
            "temperature": self.temperature,
            "offset": self.offset,
            "order": self.order,
            "reference_grid": self.reference_grid,
            "layout": self.layout,
        }
