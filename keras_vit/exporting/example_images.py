"""What a file and its model are compared on where nobody gave pictures.

Shapes: H W C image.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from keras_vit.preprocessing import resize_array

# Pixels of a side, and patches of a side, where nothing says how large images are.
_ANY_SIDE, _ANY_GRID = 224, (14, 14)


def example_images(model: keras.Model, pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Return digits that show whether a file computes what its model does.

    They have values from 0 to 255 and, where a model takes others than whole numbers,
    from -1 to 1 in turns: nothing says which are right, and both are looked at.

    Args:
        model: without preprocessing.
        pictures: bytes, (H, W, 1) each.
    """
    *_, channels = model.input_shape
    height, width = image_size(model)
    dtype = np.dtype(model.inputs[0].dtype)
    is_whole = np.issubdtype(dtype, np.integer)
    found = []
    for number, picture in enumerate(pictures):
        pixels = resize_array(picture, (height, width), "bilinear")
        values = np.repeat(pixels[..., :1], channels, axis=-1).astype("float32")
        if is_whole:
            values = np.minimum(values, np.iinfo(dtype).max)
        elif number % 2:
            values = values / 127.5 - 1.0
        found.append(values.astype(dtype))
    return found


def image_size(model: keras.Model) -> tuple[int, int]:
    """Return (height, width) of images that a model takes, one that it was made for."""
    height, width = model.input_shape[1:3]
    for layer in (model, *model.layers):
        config: Any = getattr(layer, "config", None)
        if hasattr(config, "patch_size"):
            grid = config.position_grid or _ANY_GRID
            rows, columns = map(math.prod, zip(grid, config.patch_size, strict=True))
            return height or rows, width or columns
    return height or _ANY_SIDE, width or _ANY_SIDE
