"""Rotations with learned frequencies. Shapes: T tokens, h heads, d width of a head."""

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
class MixedRotaryPositions(keras.layers.Layer):
    """The rotation of each token by learned mixtures of its column and its row.

    angle = column * frequency_x + row * frequency_y, for each head and each pair of
    channels; neighbouring channels pair. Tokens before the patches are not rotated.

    Args:
        num_heads: h, at least 1.
        head_dim: d, width of a head, a multiple of 4.
        patch_size: pixels, (height, width).
        num_prefix_tokens: number of tokens before the patches. Default 0.
        temperature: of the frequencies at the start. Default 10.

    Input shape: images, (B, H, W, C); only their size matters.
    Output shape: (2, T, h, d): cosines and sines.

    Raises:
        ValueError: if `head_dim` is no multiple of 4.

    Reference: arXiv:2403.13298, equation 14 (RoPE-Mixed). Initialization as there: each
    head starts with the axial frequencies, turned by a random angle.
    """

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        patch_size: tuple[int, int],
        num_prefix_tokens: int = 0,
        temperature: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_head_dim(head_dim)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.patch_size = (patch_size[0], patch_size[1])
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")
        self.frequencies = self.add_weight(
            shape=(2, self.num_heads, self.head_dim // 2),
            initializer=self._turned_axes,
            name="frequencies",
        )

    def call(self, images: Tensor) -> Tensor:
        rows, columns, _ = grid_coordinates(images, self.patch_size)
        frequencies = ops.cast(self.frequencies, "float32")  # (2, h, d / 2)
        angles = columns[:, None, None] * frequencies[0]
        angles = angles + rows[:, None, None] * frequencies[1]  # (N, h, d / 2)
        angles = ops.pad(angles, [[self.num_prefix_tokens, 0], [0, 0], [0, 0]])
        return ops.cast(rotation_table(angles, "interleaved"), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return rotation_shape(
            input_shape,
            self.patch_size,
            self.num_prefix_tokens,
            self.num_heads,
            self.head_dim,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "head_dim": self.head_dim,
            "patch_size": self.patch_size,
            "num_prefix_tokens": self.num_prefix_tokens,
            "temperature": self.temperature,
        }

    def _turned_axes(self, shape: Shape, dtype: Any = None) -> Tensor:
        count = self.head_dim // 4
        speeds = ops.exp(
            ops.arange(count, dtype="float32") * (-math.log(self.temperature) / count)
        )
        turn = keras.random.uniform(
            (self.num_heads, 1), 0.0, 2 * math.pi, dtype="float32"
        )
        turns = (turn, turn + math.pi / 2)
        x = ops.concatenate([speeds * ops.cos(turn) for turn in turns], axis=-1)
        y = ops.concatenate([speeds * ops.sin(turn) for turn in turns], axis=-1)
        return ops.cast(ops.stack([x, y]), dtype or "float32")
