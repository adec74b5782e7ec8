"""Rotations by relative place in the image. Shapes: T tokens, d width of a head."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.patch_grid import (
    check_head_dim,
    grid_coordinates,
    rotation_shape,
)
from keras_vit.layers.rotation import rotation_table
from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class CentredRotaryPositions(keras.layers.Layer):
    """The rotation of each token by its place between the borders of the image.

    The centres of the patches have coordinates between -1 and 1 on each axis, whatever
    the size of the image; angle = 2 pi coordinate / temperature^(2 m / (d / 2)), m = 0
    ... d / 4 - 1, rows in the first channels. Channels pair in halves. Tokens before
    the patches are not rotated.

    Args:
        head_dim: d, width of a head, a multiple of 4.
        patch_size: pixels, (height, width).
        num_prefix_tokens: number of tokens before the patches. Default 0.
        temperature: of the frequencies. Default 100.

    Input shape: images, (B, H, W, C); only their size matters.
    Output shape: (2, T, 1, d): cosines and sines.

    Raises:
        ValueError: if `head_dim` is no multiple of 4.

    Reference: arXiv:2508.10104 (DINOv3), section 3.2.
    """

    def __init__(
        self,
        head_dim: int,
        patch_size: tuple[int, int],
        num_prefix_tokens: int = 0,
        temperature: float = 100.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_head_dim(head_dim)
        self.head_dim = head_dim
        self.patch_size = (patch_size[0], patch_size[1])
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")

    def call(self, images: Tensor) -> Tensor:
        rows, columns, (height, width) = grid_coordinates(images, self.patch_size)
        rows = 2 * (rows + 0.5) / ops.cast(height, "float32") - 1
        columns = 2 * (columns + 0.5) / ops.cast(width, "float32") - 1
        count = self.head_dim // 4
        frequencies = (
            2
            * math.pi
            * ops.exp(
                ops.arange(count, dtype="float32")
                * (-math.log(self.temperature) / count)
            )
        )
        angles = ops.concatenate(
            [axis[:, None] * frequencies for axis in (rows, columns)], axis=1
        )
        angles = ops.pad(angles, [[self.num_prefix_tokens, 0], [0, 0]])  # (T, d / 2)
        return ops.cast(rotation_table(angles[:, None], "half"), self.compute_dtype)

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
        }
