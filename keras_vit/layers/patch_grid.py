"""Coordinates of patches, for the layers that compute positions. N patches."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_vit.layers.shapes import Shape, Tensor


def grid_coordinates(
    images: Tensor, patch_size: tuple[int, int]
) -> tuple[Tensor, Tensor, tuple[Any, Any]]:
    """Return row and column of each patch, float32 (N,), and the size of the grid.

    Patches are counted in rows from the top left, as `Patches` cuts them. Works for
    images of unknown size.
    """
    shape: Any = ops.shape(images)
    height, width = shape[1] // patch_size[0], shape[2] // patch_size[1]
    rows = ops.arange(height, dtype="float32")
    columns = ops.arange(width, dtype="float32")
    rows, columns = ops.meshgrid(rows, columns, indexing="ij")
    return ops.reshape(rows, (-1,)), ops.reshape(columns, (-1,)), (height, width)


def rotation_shape(
    images: Shape,
    patch_size: tuple[int, int],
    num_prefix_tokens: int,
    num_heads: int,
    head_dim: int,
) -> Shape:
    """Return the static shape of a table of rotations, (2, T, num_heads, d)."""
    _, height, width, _ = images
    length = None
    if height is not None and width is not None:
        length = (height // patch_size[0]) * (width // patch_size[1])
        length += num_prefix_tokens
    return (2, length, num_heads, head_dim)


def check_head_dim(head_dim: int) -> None:
    """Raise a ValueError unless a head has channel pairs for rows and columns."""
    if head_dim < 4 or head_dim % 4:
        raise ValueError(
            "head_dim must be a multiple of 4 for rotary positions, received "
            f"head_dim={head_dim}. Choose hidden_dim and num_heads so that "
            "hidden_dim / num_heads is one."
        )


def check_order(order: str) -> None:
    """Raise a ValueError unless `order` says which axis comes first."""
    if order not in ("yx", "xy"):
        raise ValueError(
            f"order must be 'yx' or 'xy', received order={order!r}. Use 'yx' for rows "
            "in the first channels."
        )
