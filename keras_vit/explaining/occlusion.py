"""What a classifier loses when a part of a picture is hidden.

R, C rows and columns of patches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def occlusion(
    score: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    grid: tuple[int, int],
    patch_size: tuple[int, int],
    window: int,
    batch_size: int,
) -> np.ndarray:
    """Hide a window at each place and return what the score falls by, there.

    The window is filled with the mean colour of the picture. It moves by one patch; a
    patch gets the mean of all windows that hid it.

    Args:
        score: from images, (B, height, width, channels), to a number each, (B,).
        image: one, as the model takes it.
        grid: (R, C).
        patch_size: (height, width), pixels.
        window: side of what is hidden, in patches, at least 1.
        batch_size: images per call.

    Returns:
        float32 (R, C); below 0 where the score grew.

    Reference: Zeiler and Fergus, arXiv:1311.2901, section 4.2.
    """
    rows, columns = grid
    height, width = patch_size
    colour = image.mean(axis=(0, 1))
    tops = range(1 - window, rows)
    lefts = range(1 - window, columns)
    places = [(top, left) for top in tops for left in lefts]
    whole = float(score(image[None])[0])
    total, count = np.zeros(grid), np.zeros(grid)
    for start in range(0, len(places), batch_size):
        some = places[start : start + batch_size]
        hidden = np.repeat(image[None], len(some), axis=0)
        parts = [
            (
                slice(max(top, 0), min(top + window, rows)),
                slice(max(left, 0), min(left + window, columns)),
            )
            for top, left in some
        ]
        for one, (of_rows, of_columns) in zip(hidden, parts, strict=True):
            one[
                of_rows.start * height : of_rows.stop * height,
                of_columns.start * width : of_columns.stop * width,
            ] = colour
        for value, part in zip(score(hidden), parts, strict=True):
            total[part] += whole - float(value)
            count[part] += 1
    return (total / count).astype("float32")
