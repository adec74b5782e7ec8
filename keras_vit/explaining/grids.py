"""Patches of the images that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.config import ViTConfig
from keras_vit.model import ViT

# Side of what stands for a patch in a model that has none, as a share of the image.
_PARTS = 14


def patch_size_of(model: Any, size: Sequence[int]) -> tuple[int, int]:
    """Return pixels, (height, width), of a patch of an image of this size."""
    if isinstance(model, ViT):
        height, width = model.config.patch_size
        return height, width
    return max(1, size[0] // _PARTS), max(1, size[1] // _PARTS)


def grid_of(model: Any, size: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns of patches of an image of this size."""
    pads = isinstance(model, ViT) and model.config.pad_images
    return _grid(patch_size_of(model, size), pads, size)


def num_tokens_of(config: ViTConfig, size: Sequence[int]) -> int:
    """Return the number of tokens of an image of this size."""
    rows, columns = _grid(config.patch_size, config.pad_images, size)
    return rows * columns + config.num_prefix_tokens


def _grid(
    patch_size: tuple[int, int], pads: bool, size: Sequence[int]
) -> tuple[int, int]:
    rows, columns = (
        -(-side // of_patch) if pads else side // of_patch
        for side, of_patch in zip(size, patch_size, strict=True)
    )
    return rows, columns


def in_grid(model: Any, values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return what is said of each patch, (rows, columns), of values of all tokens."""
    rows, columns = grid_of(model, size)
    # Other tokens stand before the patches.
    return values.ravel()[-rows * columns :].reshape(rows, columns)
