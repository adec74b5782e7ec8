"""The grid of patches, for the layers that compute positions. N patches."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_vit.layers.base.layer import Tensor


def grid_of(images: Tensor, patch_size: Any) -> tuple[Any, Any]:
    """Return rows and columns of patches of images; in TensorFlow's graphs tensors."""
    shape: Any = ops.shape(images)
    return shape[1] // patch_size[0], shape[2] // patch_size[1]


def grid_coordinates(grid: tuple[Any, Any]) -> tuple[Tensor, Tensor]:
    """Return row and column of each patch, float32 (N,).

    Patches are counted in rows from the top left, as `Patches` cuts them.
    """
    rows, columns = (ops.arange(size, dtype="float32") for size in grid)
    rows, columns = ops.meshgrid(rows, columns, indexing="ij")
    return ops.reshape(rows, (-1,)), ops.reshape(columns, (-1,))
