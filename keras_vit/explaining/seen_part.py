"""From the grid of patches back to the picture as it was given.

H, W picture; R, C rows and columns of patches.
"""

from __future__ import annotations

import numpy as np

from keras_vit.preprocessing import Preprocessing


def on_picture(
    patches: np.ndarray,
    size: tuple[int, int],
    preprocessing: Preprocessing,
    patch_size: tuple[int, int],
) -> np.ndarray:
    """Lay a map of patches over the picture that it is of.

    Between the centres of patches values are interpolated linearly. Where the model saw
    nothing, because that part was cut off, there is no value.

    Args:
        patches: one value per patch, float (R, C).
        size: of the picture as it was given, (H, W).
        preprocessing: that the picture went through.
        patch_size: of the model, (height, width) in pixels of the image that it takes.

    Returns:
        float32 (H, W), NaN where the model saw nothing.
    """
    scaled = preprocessing.scaled_size(*size)
    offset = preprocessing.crop_offset(scaled)
    sides = zip(size, scaled, offset, patch_size, preprocessing.image_size, strict=True)
    (rows, seen_rows), (columns, seen_columns) = (
        _side(*side, count) for side, count in zip(sides, patches.shape, strict=True)
    )
    found = rows @ patches.astype("float64") @ columns.T
    is_seen = seen_rows[:, None] & seen_columns[None]
    return np.where(is_seen, found, np.nan).astype("float32")


def _side(
    length: int, scaled: int, offset: int, patch: int, taken: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each patch in each pixel of a side, and what is seen of it.

    Args:
        length: of the side of the picture, in pixels.
        scaled: the same after it was resized.
        offset: where the image that the model takes begins in that.
        patch: pixels of a patch.
        taken: pixels of the image that the model takes.
        count: number of patches.

    Returns:
        float64 (length, count), rows that add up to 1; and bool (length,).
    """
    # The middle of each pixel, in pixels of the image that the model takes.
    places = (np.arange(length) + 0.5) * scaled / length - offset
    centre = np.clip(places / patch - 0.5, 0, count - 1)
    low = np.minimum(centre.astype(int), max(count - 2, 0))
    high = np.minimum(low + 1, count - 1)
    share, pixels = centre - low, np.arange(length)
    weights = np.zeros((length, count))
    weights[pixels, low] += 1 - share
    weights[pixels, high] += share
    return weights, (places >= 0) & (places < min(count * patch, taken))


def patch_at(
    point: tuple[float, float],
    size: tuple[int, int],
    preprocessing: Preprocessing,
    patch_size: tuple[int, int],
    grid: tuple[int, int],
) -> tuple[int, int]:
    """Return row and column of the patch that sees a point of a picture.

    Args:
        point: (x, y), pixels from the left and from the top, from 0.
        size: of the picture as it was given, (H, W).
        preprocessing: that the picture goes through.
        patch_size: of the model, (height, width) in pixels of the image that it takes.
        grid: number of patches, (R, C).

    Raises:
        ValueError: if the point is not in the picture, or the model does not see it.
    """
    x, y = point
    if not (0 <= y < size[0] and 0 <= x < size[1]):
        raise ValueError(
            f"point must be in the picture, (x, y) below {(size[1], size[0])}, "
            f"received point={(x, y)}."
        )
    scaled = preprocessing.scaled_size(*size)
    offset = preprocessing.crop_offset(scaled)
    places = [
        int(((at + 0.5) * of_scaled / length - of_offset) // of_patch)
        for at, length, of_scaled, of_offset, of_patch in zip(
            (y, x), size, scaled, offset, patch_size, strict=True
        )
    ]
    row, column = places
    if not (0 <= row < grid[0] and 0 <= column < grid[1]):
        raise ValueError(
            f"The model sees a part of the picture, and point={(x, y)} was cut off. "
            "Take another one, or preprocessing with resize='squash'."
        )
    return row, column
