"""Images from memory: arrays, lists, columns of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.data.contents import Contents
from keras_vit.data.images import Images, check_labels, spread
from keras_vit.data.sequences import by_position
from keras_vit.data.values import SAMPLED, values_of


def images_from_arrays(
    pixels: Sequence[Any] | np.ndarray, labels: Any, num_classes: int | None = None
) -> Images:
    """Return labelled images from memory, paired by position.

    Args:
        pixels: array (N, H, W) or (N, H, W, C), or pictures of any sizes or their
            paths: a list, a generator, an array of texts, a column of a table.
        labels: class of each picture, whole numbers from 0, (N,), of any such kind.
        num_classes: number of classes. Default: the highest label plus 1.

    Raises:
        TypeError: if images or labels are no sequence.
        ValueError: if there are no images, or labels and images do not fit.
    """
    pixels = by_position(pixels, "Images")
    if isinstance(pixels, np.ndarray) and pixels.ndim not in (3, 4):
        raise ValueError(
            "Images must be an array of shape (N, H, W) or (N, H, W, C), received "
            f"shape {pixels.shape}. Channels come last; flat images need a reshape."
        )
    if len(pixels) == 0:
        raise ValueError("There must be at least one image, received an empty array.")
    labels = check_labels(labels, len(pixels), num_classes)
    values = values_of(pixels[i] for i in map(int, spread(len(pixels), SAMPLED)))
    return Images(
        pixels.__getitem__,
        labels,
        num_classes=num_classes or 0,
        values=values,
        contents=Contents(pixels.__getitem__, len(pixels)),
    )
