"""Random changes of training images, drawn anew for each image and epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_vit.preprocessing import Preprocessing, map_planes

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Random crop, flip, rotation, shear, shift and zoom of one training image.

    Runs in the input pipeline, on pixel values, before normalization; never in the
    model. Which change an image gets depends only on the generator it is given.

    Args:
        crop_area: (smallest, largest) share of the picture's area that a random crop
            keeps, in (0, 1]; the crop is resized to the model's size and has an aspect
            ratio between 3/4 and 4/3. Default None: resize as at inference.
        horizontal_flip: whether half of the images are mirrored. Default False.
        rotation: largest angle to either side, degrees in [0, 180]. Default 0.
        shear: largest slant to either side, degrees in [0, 90). Default 0.
        translation: largest shift to each side, share of the image side in [0, 1).
            Default 0.
        zoom: largest relative change of size, [0, 1); 0.1 draws from 0.9 to 1.1.
            Default 0.

    Raises:
        ValueError: if an option is out of its range.

    Reference: arXiv:1409.4842, section 6 (crop), as in torchvision's RandomResizedCrop.
    """

    crop_area: tuple[float, float] | None = None
    horizontal_flip: bool = False
    rotation: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    zoom: float = 0.0

    def __post_init__(self) -> None:
        if self.crop_area is not None:
            low, high = self.crop_area
            object.__setattr__(self, "crop_area", (float(low), float(high)))
            if not 0 < low <= high <= 1:
                raise ValueError(
                    "crop_area must be (smallest, largest) with 0 < smallest <= "
                    f"largest <= 1, received crop_area={self.crop_area}."
                )
        if not 0 <= self.rotation <= 180:
            raise ValueError(
                "rotation must be in [0, 180] degrees, received "
                f"rotation={self.rotation}."
            )
        if not 0 <= self.shear < 90:
            raise ValueError(
                f"shear must be in [0, 90) degrees, received shear={self.shear}."
            )
        for name in ("translation", "zoom"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 0 and below 1, received "
                    f"{name}={getattr(self, name)}."
                )

    def __call__(
        self, pixels: np.ndarray, preprocessing: Preprocessing, rng: np.random.Generator
    ) -> np.ndarray:
        """Return one image of `preprocessing.image_size`, changed at random.

        Args:
            pixels: the picture, (H, W, C), any size, before normalization.
            preprocessing: says size and interpolation.
            rng: decides everything.
        """
        return self.distort(self.crop(pixels, preprocessing, rng), rng)

    def crop(
        self, pixels: np.ndarray, preprocessing: Preprocessing, rng: np.random.Generator
    ) -> np.ndarray:
        """Resize a picture to `preprocessing.image_size`.

        With `crop_area`, a random part of the picture.
        """
        if self.crop_area is None:
            return preprocessing.resize_image(pixels)
        return _random_crop(pixels, self.crop_area, preprocessing, rng)

    def distort(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Flip, rotate, shear, shift and zoom an image that has its final size."""
        if self.horizontal_flip and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if self.rotation or self.shear or self.translation or self.zoom:
            pixels = self._random_affine(pixels, rng)
        return pixels

    def _random_affine(
        self, pixels: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        from PIL import Image

        height, width = pixels.shape[:2]
        angle, dx, dy, zoom, slant = rng.uniform(-1, 1, size=5)
        angle = math.radians(angle * self.rotation)
        slant = math.tan(math.radians(slant * self.shear))
        scale = 1 / (1 + zoom * self.zoom)
        a, b = math.cos(angle) * scale, math.sin(angle) * scale
        d, e = -b, a
        b, e = b + slant * a, e + slant * d  # Shear along x, then rotate.
        centre_x, centre_y = width / 2, height / 2
        from_x = centre_x + dx * self.translation * width
        from_y = centre_y + dy * self.translation * height
        # Output pixel (x, y) reads the input at (a x + b y + c, d x + e y + f).
        matrix = (
            *(a, b, centre_x - a * from_x - b * from_y),
            *(d, e, centre_y - d * from_x - e * from_y),
        )

        def transform(image: Image.Image) -> Image.Image:
            return image.transform(
                image.size,
                Image.Transform.AFFINE,
                matrix,
                resample=Image.Resampling.BILINEAR,
            )

        return map_planes(pixels, transform)


def _random_crop(
    pixels: np.ndarray,
    crop_area: tuple[float, float],
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> np.ndarray:
    height, width = pixels.shape[:2]
    for _ in range(10):
        area = height * width * rng.uniform(*crop_area)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        crop_width = round(math.sqrt(area * ratio))
        crop_height = round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(rng.integers(height - crop_height + 1))
            left = int(rng.integers(width - crop_width + 1))
            crop = pixels[top : top + crop_height, left : left + crop_width]
            return preprocessing.resize_to(crop, preprocessing.image_size)
    return preprocessing.resize_image(pixels)
