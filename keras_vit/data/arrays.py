"""Images from NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_vit.data.images import Images, check_labels


def images_from_arrays(
    pixels: Sequence[Any] | np.ndarray, labels: Any, num_classes: int | None = None
) -> Images:
    """Return labelled images from memory.

    Args:
        pixels: array (N, H, W) or (N, H, W, C), or a list of pictures of any sizes.
        labels: class of each picture, whole numbers from 0, (N,).
        num_classes: number of classes. Default: the highest label plus 1.

    Raises:
        ValueError: if there are no images, or labels and images do not fit.
    """
    if isinstance(pixels, np.ndarray) and pixels.ndim not in (3, 4):
        raise ValueError(
            "Images must be an array of shape (N, H, W) or (N, H, W, C), received "
            f"shape {pixels.shape}. Channels come last; flat images need a reshape."
        )
    if len(pixels) == 0:
        raise ValueError("There must be at least one image, received an empty array.")
    labels = check_labels(labels, len(pixels), num_classes)
    return Images(pixels.__getitem__, labels, num_classes=num_classes or 0)
