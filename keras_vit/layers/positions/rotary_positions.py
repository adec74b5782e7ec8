"""How far queries and keys are rotated. T tokens, N patches, h heads, d head width."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank, pad
from keras_vit.layers.positions.patch_grid import grid_coordinates, grid_of
from keras_vit.layers.positions.rotation import check_layout, rotation_table
from keras_vit.own_arguments import own_arguments

KINDS = ("axial", "centred", "mixed")


@keras.saving.register_keras_serializable(package="keras_vit")
class RotaryPositions(keras.layers.Layer):
    """The rotation of each token by the row and the column of its patch.

    An angle is a coordinate times a frequency, temperature^(-m / n), m = 0 ... n - 1,
    n = d / 4. The kinds differ in the coordinates and in who chooses the frequencies:

    - "axial" counts patches. Half of a head's channel pairs turn with the row, half
      with the column.
    - "centred" measures where a patch lies between the borders of the image, from -1
      to 1 whatever its size; its frequencies are 2 pi times as large.
    - "mixed" counts patches and learns the frequencies of each head: an angle is
      column * frequency_x + row * frequency_y.

    Tokens before the patches are not rotated.

    Args:
        head_dim: d, width of a head, a multiple of 4.
        patch_size: pixels, (height, width).
        kind: "axial" (default), "centred" or "mixed".
        num_heads: h, for the frequencies of "mixed". Default 1.
        num_prefix_tokens: number of tokens before the patches. Default 0.
        temperature: ratio of the slowest to the fastest wavelength; of "mixed" at the
            start. Default 10000.
        offset: added to rows and columns, in patches. Default 0.
        order: "yx", rows in the first channels (default), or "xy", columns.
        reference_grid: (rows, columns) of the grid that the frequencies were made for;
            another grid is stretched to it. Default None: patches are counted.
        layout: "interleaved" (default) or "half", see `rotation_table`.

    Input shape: images, (B, H, W, C); only their size matters.
    Output shape: (2, T, 1, d), cosines and sines; (2, T, h, d) if they are "mixed".

    Raises:
        ValueError: if an option is out of range.

    Example:
        ```python
        rotary = keras_vit.layers.RotaryPositions(head_dim=16, patch_size=(16, 16))
        rotation = rotary(keras.ops.ones((1, 224, 224, 3)))
        tuple(rotation.shape)  # (2, 196, 1, 16)
        attention = keras_vit.layers.SelfAttention(hidden_dim=64, num_heads=4)
        tokens = attention(keras.ops.ones((2, 196, 64)), rotation=rotation)
        ```

    Reference: arXiv:2104.09864; arXiv:2303.11331 (EVA-02) and timm,
    layers/pos_embed_sincos.py, RotaryEmbeddingCat (axial); arXiv:2508.10104, DINOv3,
    section 3.2 (centred); arXiv:2403.13298, equation 14, RoPE-Mixed (mixed), where
    each head starts with the axial frequencies, turned by a random angle.
    """

    def __init__(
        self,
        head_dim: int,
        patch_size: tuple[int, int],
        kind: str = "axial",
        num_heads: int = 1,
        num_prefix_tokens: int = 0,
        temperature: float = 10000.0,
        offset: float = 0.0,
        order: str = "yx",
        reference_grid: tuple[int, int] | None = None,
        layout: str = "interleaved",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if head_dim < 4 or head_dim % 4:
            raise ValueError(
                "head_dim must be a multiple of 4 for rotary positions, received "
                f"head_dim={head_dim}. Choose hidden_dim and num_heads so that "
                "hidden_dim / num_heads is one."
            )
        _check_choice("kind", kind, KINDS)
        _check_choice("order", order, ("yx", "xy"))
        check_layout(layout)
        self.head_dim = head_dim
        self.patch_size = (patch_size[0], patch_size[1])
        self.kind = kind
        self.num_heads = num_heads
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature
        self.offset = offset
        self.order = order
        self.reference_grid = reference_grid and tuple(reference_grid)
        self.layout = layout

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, H, W, C)")
        if self.kind == "mixed":
            shape = (2, self.num_heads, self.head_dim // 2)
            axes = self._turned_axes
            self.frequencies = self.add_weight(shape, axes, name="frequencies")

    def call(self, images: Tensor) -> Tensor:
        grid = grid_of(images, self.patch_size)
        if self.kind == "mixed":
            angles = self._mixed_angles(*grid_coordinates(grid))  # (N, h, d / 2)
        else:
            angles = self._axial_angles(*self._coordinates(grid))  # (N, 1, d / 2)
        angles = pad(angles, 0, self.num_prefix_tokens)  # (T, h or 1, d / 2)
        return ops.cast(rotation_table(angles, self.layout), self.compute_dtype)

    def _coordinates(self, grid: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
        """Return what is multiplied by the frequencies, for rows and for columns."""
        axes = grid_coordinates(grid)
        sizes = [ops.cast(size, "float32") for size in grid]
        if self.kind == "centred":
            rows, columns = axes
            return 2 * (rows + 0.5) / sizes[0] - 1, 2 * (columns + 0.5) / sizes[1] - 1
        rows, columns = (x + self.offset for x in axes)
        if self.reference_grid is not None:
            rows = rows * (self.reference_grid[0] / sizes[0])
            columns = columns * (self.reference_grid[1] / sizes[1])
        return rows, columns

    def _axial_angles(self, rows: Tensor, columns: Tensor) -> Tensor:
        axes = (rows, columns) if self.order == "yx" else (columns, rows)
        speeds = self._speeds()
        if self.kind == "centred":
            speeds = 2 * math.pi * speeds
        angles = [axis[:, None] * speeds for axis in axes]
        return ops.concatenate(angles, axis=1)[:, None]

    def _mixed_angles(self, rows: Tensor, columns: Tensor) -> Tensor:
        frequencies = ops.cast(self.frequencies, "float32")  # (2, h, d / 2)
        angles = columns[:, None, None] * frequencies[0]
        return angles + rows[:, None, None] * frequencies[1]

    def _speeds(self) -> Tensor:
        """Return the frequencies of one axis, (d / 4,), the fastest first."""
        count = self.head_dim // 4
        exponents = ops.arange(count, dtype="float32")
        return ops.exp(exponents * (-math.log(self.temperature) / count))

    def _turned_axes(self, shape: Shape, dtype: Any = None) -> Tensor:
        turn = keras.random.uniform((self.num_heads, 1), 0.0, 2 * math.pi, "float32")
        turns, speeds = (turn, turn + math.pi / 2), self._speeds()
        x = ops.concatenate([speeds * ops.cos(turn) for turn in turns], axis=-1)
        y = ops.concatenate([speeds * ops.sin(turn) for turn in turns], axis=-1)
        return ops.cast(ops.stack([x, y]), dtype or "float32")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        _, height, width, _ = input_shape
        length = None
        if height is not None and width is not None:
            patches = (height // self.patch_size[0]) * (width // self.patch_size[1])
            length = patches + self.num_prefix_tokens
        num_heads = self.num_heads if self.kind == "mixed" else 1
        return (2, length, num_heads, self.head_dim)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}


def _check_choice(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(
            f"{name} must be one of {list(valid)}, received {name}={value!r}. Check "
            "the spelling."
        )
