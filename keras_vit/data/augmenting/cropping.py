"""Random crops of a picture, from an array or straight from its file."""

from __future__ import annotations

import math
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.random import Generator

from keras_vit.preprocessing import Preprocessing
from keras_vit.read_image import opened, orientation_of

# (left, top, right, bottom) in pixels.
Box = tuple[int, int, int, int]

_MODES = {1: "L", 3: "RGB"}


def draw_box(
    height: int, width: int, crop_area: tuple[float, float], rng: Generator
) -> Box | None:
    """Return a random part of a picture, or None if ten draws do not fit into it.

    Reference: torchvision.transforms.RandomResizedCrop.get_params.
    """
    for _ in range(10):
        area = height * width * rng.uniform(*crop_area)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(rng.integers(height - h + 1))
            left = int(rng.integers(width - w + 1))
            return left, top, left + w, top + h
    return None


def crop_array(
    pixels: np.ndarray,
    crop_area: tuple[float, float],
    preprocessing: Preprocessing,
    rng: Generator,
) -> np.ndarray:
    """Return a random part of an array (H, W, C), resized to `image_size`."""
    height, width = pixels.shape[:2]
    box = draw_box(height, width, crop_area, rng)
    if box is None:
        return preprocessing.resize_image(pixels)
    left, top, right, bottom = box
    return preprocessing.resize_to(
        pixels[top:bottom, left:right], preprocessing.image_size
    )


def crop_padded(
    pixels: np.ndarray, padding: int, preprocessing: Preprocessing, rng: Generator
) -> np.ndarray:
    """Return a part of `image_size` of an array (H, W, C) that is resized to cover it.

    Args:
        pixels: the picture; its proportions are kept.
        padding: pixels by which the resized picture is mirrored beyond each border, so
            that the part may stand over it.
        preprocessing: says size and interpolation.
        rng: decides the place, any as likely as another.

    Reference: facebookresearch/deit, augment.py, `--src`: torchvision's Resize and
        RandomCrop(padding=4, padding_mode="reflect").
    """
    covering = replace(preprocessing, resize="crop", crop_ratio=1.0)
    scaled = covering.scaled_size(*pixels.shape[:2])
    windows, firsts = [], []
    for length, target in zip(scaled, preprocessing.image_size, strict=True):
        first = int(rng.integers(length + 2 * padding - target + 1)) - padding
        # With what may be mirrored at a border.
        low = max(0, first - padding)
        windows.append((low, min(length, first + target + padding)))
        firsts.append(first - low + padding)
    pixels = preprocessing.resize_window(pixels, scaled, *windows)
    border = (padding, padding)
    pixels = np.pad(pixels, (border, border, (0, 0)), mode="reflect")
    (top, left), (height, width) = firsts, preprocessing.image_size
    return pixels[top : top + height, left : left + width]


def crop_file(
    path: Any,
    crop_area: tuple[float, float],
    preprocessing: Preprocessing,
    rng: Generator,
) -> Any:
    """Return a random part of an image file as a Pillow picture of `image_size`.

    The same as `crop_array` of the whole picture, without copies; a JPEG of which the
    crop would be reduced at least by half is decoded at half, a quarter or an eighth of
    its size, which changes pixels a little and takes a fraction of the time.

    Returns:
        The picture, "L" or "RGB", or None where the file needs the long way: rotated by
        EXIF, palettes, transparency, 16 bits, or other options of `Preprocessing`.
    """
    mode = _MODES.get(preprocessing.channels)
    plain = preprocessing.resize_dtype == "uint8" and mode is not None
    if not plain or preprocessing.value_range != (0.0, 255.0):
        return None
    if not isinstance(path, (str, PathLike)):
        return None
    try:
        with opened(path) as image:
            if image.mode != mode or orientation_of(image) != 1:
                return None
            box = draw_box(image.height, image.width, crop_area, rng)
            return _crop_open(image, box, preprocessing)
    except OSError:
        return None  # The long way says which file, and why.


def _crop_open(image: Any, box: Box | None, preprocessing: Preprocessing) -> Any:
    from PIL import Image

    height, width = preprocessing.image_size
    if box is None:
        pixels = preprocessing.resize_image(preprocessing.to_array(image))
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    full = image.size
    reduction = min((box[2] - box[0]) // width, (box[3] - box[1]) // height, 8)
    if reduction >= 2 and image.format == "JPEG":
        image.draft(image.mode, (full[0] // reduction, full[1] // reduction))
    resample = Image.Resampling[preprocessing.interpolation.upper()]
    if image.size == full:
        return image.crop(box).resize((width, height), resample)
    scale = image.width / full[0], image.height / full[1]
    scaled = tuple(edge * scale[i % 2] for i, edge in enumerate(box))
    return image.resize((width, height), resample, box=scaled)
