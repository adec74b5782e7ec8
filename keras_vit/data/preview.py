"""A grid of augmented images, to look at before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.image_data import ImageData
from keras_vit.data.mixing import Mixing
from keras_vit.data.sampling import Sampler
from keras_vit.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL import Image

GAP = 4  # pixels between pictures
SMALLEST = 96  # pixels of a tile's longer side; smaller images are enlarged


def show_augmentation(
    data: ImageData | Sequence[Any] | np.ndarray,
    augmentation: Augmentation,
    path: str | Path | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    mixing: Mixing | None = None,
    rows: int = 6,
    columns: int = 8,
    seed: int = 0,
) -> Image.Image:
    """Draw images as a model would see them in training.

    A row per image: without augmentation on the left, then as in `columns` epochs.

    Args:
        data: from `load_data`, or pictures: paths, PIL images or arrays.
        augmentation: what to show.
        path: file to write, such as "grid.png". Default None: nothing is written.
        preprocessing: size, colours and normalization. Default: 224 pixels, RGB.
        mixing: also mix each row with its neighbour. Default None.
        rows: images, at least 1; taken evenly from the data. Default 6.
        columns: draws of each image, at least 1. Default 8.
        seed: of the draws. Default 0; training with the same seed draws the same for
            the image of the same number.

    Returns:
        The grid, RGB; grey stays grey and transparency is left out.

    Raises:
        ValueError: if there is no image, or the options do not fit each other.
    """
    if rows < 1 or columns < 1:
        raise ValueError(
            f"rows and columns must be at least 1, received rows={rows}, "
            f"columns={columns}."
        )
    preprocessing = preprocessing or Preprocessing()
    augmentation.check(preprocessing)
    if mixing is not None:
        mixing.check()
    pictures = _pictures(data, rows)
    numbers = range(len(pictures))
    sampler = Sampler(
        num_images=len(pictures), batch_size=len(pictures), training=True, seed=seed
    )
    grid = [np.stack([preprocessing(picture) for picture in pictures])]
    for epoch in range(columns):
        images = np.stack(
            [
                _augmented(picture, augmentation, preprocessing, generator)
                for picture, generator in zip(
                    pictures,
                    (sampler.image_generator(epoch, number, 0) for number in numbers),
                    strict=True,
                )
            ]
        )
        grid.append(_mixed(images, mixing, preprocessing, sampler, epoch))
    drawing = _draw(preprocessing.denormalize(np.stack(grid, axis=1)), preprocessing)
    if path is not None:
        drawing.save(Path(path).expanduser())
    return drawing


def _pictures(data: Any, rows: int) -> list[Any]:
    if isinstance(data, ImageData):
        return data.train.samples(rows)
    pictures = list(data)
    if not pictures:
        raise ValueError("There must be at least one image, received none.")
    chosen = np.linspace(0, len(pictures) - 1, min(rows, len(pictures))).astype(int)
    return [pictures[i] for i in chosen]


def _augmented(
    picture: Any,
    augmentation: Augmentation,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> np.ndarray:
    pixels = augmentation.of_file(picture, preprocessing, rng)
    values = preprocessing.normalize(pixels)
    augmentation.erase(values, rng)
    return values


def _mixed(
    images: np.ndarray,
    mixing: Mixing | None,
    preprocessing: Preprocessing,
    sampler: Sampler,
    epoch: int,
) -> np.ndarray:
    if mixing is None:
        return images
    rng = sampler.batch_generator(epoch, 0)
    count = len(images)
    draw = mixing.draw(count, preprocessing.image_size, rng)
    labels = np.arange(count)
    return mixing.apply(images, labels, draw, num_classes=count, rng=rng)[0]


def _draw(pixels: np.ndarray, preprocessing: Preprocessing) -> Image.Image:
    """Return tiles, (rows, columns, H, W, C), as one picture."""
    from PIL import Image

    low, high = preprocessing.value_range
    pixels = (pixels - low) * (255 / (high - low))
    pixels = np.clip(np.rint(pixels), 0, 255).astype("uint8")
    channels = pixels.shape[-1]
    pixels = pixels[..., :3] if channels >= 3 else pixels[..., [0, 0, 0]]
    enlarge = max(1, -(-SMALLEST // max(pixels.shape[2:4])))
    pixels = pixels.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    rows, columns, height, width, _ = pixels.shape
    # A wider gap sets the originals apart.
    lefts = [GAP + i * (width + GAP) + (2 * GAP if i else 0) for i in range(columns)]
    size = (lefts[-1] + width + GAP, rows * (height + GAP) + GAP)
    drawing = Image.new("RGB", size, "white")
    for row in range(rows):
        for column, left in enumerate(lefts):
            tile = Image.fromarray(pixels[row, column])
            drawing.paste(tile, (left, GAP + row * (height + GAP)))
    return drawing
