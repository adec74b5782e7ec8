"""A grid of augmented images, to look at before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.data.augmenting.augmentation import Augmentation
from keras_vit.data.augmenting.mixing import Mixing
from keras_vit.data.batch_options import BatchOptions
from keras_vit.data.image_data import ImageData
from keras_vit.data.images import spread
from keras_vit.data.sampling import batch_generator, image_generator
from keras_vit.data.sequences import by_position
from keras_vit.data.values import values_of
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

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        augmentation = keras_vit.Augmentation(crop_area=(0.3, 1.0), color_jitter=0.3)
        grid = keras_vit.show_augmentation(data, augmentation, "grid.png", columns=4)
        grid.size  # (1152, 1372)
        ```
    """
    if rows < 1 or columns < 1:
        raise ValueError(
            f"rows and columns must be at least 1, received rows={rows}, "
            f"columns={columns}."
        )
    options = BatchOptions(  # Checks that the parts fit each other.
        preprocessing=preprocessing or Preprocessing(),
        training=True,
        augmentation=augmentation,
        mixing=mixing,
        seed=seed,
    )
    preprocessing = options.preprocessing
    pictures = _pictures(data, rows)
    found = values_of(pictures)
    preprocessing.check_unit(found is not None and found.is_unit)
    grid = [np.stack([preprocessing.to_values(picture) for picture in pictures])]
    grid += [_column(pictures, options, epoch) for epoch in range(columns)]
    drawing = _draw(preprocessing.denormalize(np.stack(grid, axis=1)), preprocessing)
    if path is not None:
        drawing.save(Path(path).expanduser())
    return drawing


def _pictures(data: Any, rows: int) -> list[Any]:
    if isinstance(data, ImageData):
        return data.train.samples(rows)
    pictures = list(by_position(data, "Pictures"))
    if not pictures:
        raise ValueError("There must be at least one image, received none.")
    return [pictures[i] for i in spread(len(pictures), rows)]


def _column(pictures: list[Any], options: BatchOptions, epoch: int) -> np.ndarray:
    """Return the pictures as an epoch would have them, (rows, H, W, C)."""
    augmentation: Any = options.augmentation
    made = []
    for number, picture in enumerate(pictures):
        rng = image_generator(options.seed, epoch, number)
        made.append(augmentation.values(picture, options.preprocessing, rng))
    images = np.stack(made)
    if options.mixing is None:
        return images
    count = len(images)
    rng = batch_generator(options.seed, epoch, 0)
    return options.mixing(images, np.arange(count), num_classes=count, rng=rng)[0]


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
