"""Random erasing: noise in a rectangle of an image."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

MIN_AREA, MAX_AREA = 0.02, 1 / 3
LOG_RATIO = math.log(0.3), math.log(1 / 0.3)


def erase_rectangle(values: np.ndarray, probability: float, rng: Generator) -> None:
    """Fill a rectangle of a normalized image with normal noise, in place.

    Noise of mean 0 and deviation 1 in each pixel and channel, in the model's own
    units: "pixel" mode. The rectangle covers 2 % to a third of the image, with an
    aspect ratio between 0.3 and 1 / 0.3; if ten draws do not fit, nothing is erased.

    Args:
        values: float32 (H, W, C), after normalization.
        probability: that the image is changed, [0, 1].
        rng: decides everything.

    Reference: arXiv:1708.04896; timm.data.random_erasing.RandomErasing.
    """
    if rng.random() >= probability:
        return
    height, width, channels = values.shape
    for _ in range(10):
        area = rng.uniform(MIN_AREA, MAX_AREA) * height * width
        ratio = math.exp(rng.uniform(*LOG_RATIO))
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if w < width and h < height:
            top = int(rng.integers(height - h + 1))
            left = int(rng.integers(width - w + 1))
            noise = rng.standard_normal((h, w, channels), dtype=np.float32)
            values[top : top + h, left : left + w] = noise
            return
