"""Random changes of training images, drawn anew for each image and epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from keras_vit.data.augmenting.aug_mix import AugMix
from keras_vit.data.augmenting.color_jitter import color_ranges, jitter_color
from keras_vit.data.augmenting.cropping import crop_array, crop_file, crop_padded
from keras_vit.data.augmenting.keras_steps import (
    apply_to_image,
    check_keras_cv,
    to_configs,
)
from keras_vit.data.augmenting.operations import OPERATIONS, Paint
from keras_vit.data.augmenting.rand_augment import RandAugment
from keras_vit.data.augmenting.random_erasing import erase_rectangle
from keras_vit.data.checks import check_value
from keras_vit.preprocessing import Preprocessing, map_planes

if TYPE_CHECKING:
    from keras_vit.field_types import Field, Floats

    RandAugmentOrBool = Field[RandAugment | bool | None, RandAugment | None]
    AugMixOrBool = Field[AugMix | bool | None, AugMix | None]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What Pillow can read between pixels when it moves them.
_MOVING = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Random changes of one training image, in the order of the arguments.

    Runs in the input pipeline, on pixel values, before normalization (random erasing
    after it); never in the model. Which change an image gets depends only on the
    generator it is given.

    Args:
        crop_area: (smallest, largest) share of the picture's area that a random crop
            keeps, in (0, 1]; the crop is resized to the model's size and has an aspect
            ratio between 3/4 and 4/3. Default None: resize as at inference.
        crop_padding: instead of `crop_area`, crop a part of the model's size at a
            random place, after the picture is resized to cover that size and mirrored
            beyond its borders by so many pixels, at least 0. Default None.
        horizontal_flip: whether half of the images are mirrored. Default False.
        rotation: largest angle to either side, degrees in [0, 180]. Default 0.
        shear: largest slant to either side, degrees in [0, 90). Default 0.
        translation: largest shift to each side, share of the image side in [0, 1).
            Default 0.
        zoom: largest relative change of size, [0, 1); 0.1 draws from 0.9 to 1.1.
            Default 0.
        three_augment: whether each image becomes grey, is solarized or blurred, one of
            the three. Default False.
        rand_augment: a `RandAugment`, True for its defaults, or None (default).
        aug_mix: an `AugMix`, True for its defaults, or None (default).
        color_jitter: largest relative change of brightness, contrast and saturation,
            one number or three, or these and of hue (share of the circle, [0, 0.5]),
            each at least 0. Default (): none.
        extra: Keras or KerasCV (extra `cv`) layers that change one image, such as
            `keras.layers.RandomGrayscale()` or `keras_cv.layers.GridMask()`. Kept as
            their configurations; what they draw differs between Keras backends.
            Default ().
        random_erasing: share of images of which a rectangle becomes noise, [0, 1].
            Default 0.

    Colours (`three_augment`, `rand_augment`, `aug_mix`, `color_jitter`) need pixels in
    [0, 255] and 1, 3 or 4 channels; alpha is moved, but not coloured.

    Raises:
        TypeError: if a step of `extra` is not a layer, or a switch no bool.
        ValueError: if an option is out of its range.

    Example:
        >>> augmentation = keras_vit.Augmentation(
        ...     crop_area=(0.08, 1.0), horizontal_flip=True, rand_augment=True,
        ...     random_erasing=0.25)
        >>> augmentation.rand_augment.magnitude
        9.0

    Reference: arXiv:1409.4842, section 6 (crop), as in torchvision's RandomResizedCrop;
        arXiv:2204.07118, section 3 (`crop_padding=4`, its simple random crop);
        arXiv:2204.07118, section 3 (three-augment); the modules of the other parts.
    """

    crop_area: tuple[float, float] | None = None
    crop_padding: int | None = None
    horizontal_flip: bool = False
    rotation: float = 0.0
    shear: float = 0.0
    translation: float = 0.0
    zoom: float = 0.0
    three_augment: bool = False
    rand_augment: RandAugmentOrBool = None  # pyright: ignore[reportAssignmentType]
    aug_mix: AugMixOrBool = None  # pyright: ignore[reportAssignmentType]
    color_jitter: Floats = ()  # pyright: ignore[reportAssignmentType]
    extra: tuple[dict[str, Any], ...] = ()
    random_erasing: float = 0.0

    def __post_init__(self) -> None:
        for name, kind in (("rand_augment", RandAugment), ("aug_mix", AugMix)):
            object.__setattr__(self, name, _part(name, getattr(self, name), kind))
        object.__setattr__(self, "color_jitter", color_ranges(self.color_jitter))
        object.__setattr__(self, "extra", to_configs(self.extra, "extra"))
        for name in ("horizontal_flip", "three_augment"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise TypeError(
                    f"{name} must be True or False, received {name}={value!r}. What is "
                    "on is drawn for each image."
                )
        self._check_crop()
        angle, slant, erasing = self.rotation, self.shear, self.random_erasing
        check_value(0 <= angle <= 180, "rotation", angle, "in [0, 180] degrees")
        check_value(0 <= slant < 90, "shear", slant, "in [0, 90) degrees")
        for name in ("translation", "zoom"):
            value = getattr(self, name)
            check_value(0 <= value < 1, name, value, "at least 0 and below 1")
        check_value(0 <= erasing <= 1, "random_erasing", erasing, "in [0, 1]")

    def _check_crop(self) -> None:
        if self.crop_area is not None:
            object.__setattr__(self, "crop_area", _area(self.crop_area))
        padding = self.crop_padding
        if padding is None:
            return
        is_count = isinstance(padding, int) and not isinstance(padding, bool)
        rule = "a whole number of pixels of at least 0 or None"
        check_value(is_count and padding >= 0, "crop_padding", padding, rule)
        if self.crop_area is not None:
            raise ValueError(
                "crop_area and crop_padding are two ways to crop, received crop_area="
                f"{self.crop_area}, crop_padding={padding}. Leave one of them out."
            )

    @property
    def crops(self) -> bool:
        """Whether a random part of the picture is kept."""
        return self.crop_area is not None or self.crop_padding is not None

    def check(self, preprocessing: Preprocessing) -> None:
        """Raise an error if images for this model cannot be changed so.

        Raises:
            ImportError: if KerasCV is needed and not installed.
            ValueError: if colours are to change in pixels that have none, or images
                are too small to be mirrored so far.
        """
        smallest = min(preprocessing.image_size)
        if self.crop_padding is not None and self.crop_padding >= smallest:
            raise ValueError(
                "crop_padding must be less than the sides of the images, received "
                f"crop_padding={self.crop_padding}, image_size="
                f"{preprocessing.image_size}. Lower it."
            )
        channels = preprocessing.channels
        if self._colors and (
            channels not in _MODES or preprocessing.value_range != (0.0, 255.0)
        ):
            raise ValueError(
                "three_augment, rand_augment, aug_mix and color_jitter need pixels in "
                "[0, 255] of 1, 3 or 4 channels, received "
                f"value_range={preprocessing.value_range}, channels={channels}. Leave "
                "them out, or scale the pixels to bytes."
            )
        check_keras_cv(self.extra)

    def __call__(
        self, pixels: np.ndarray, preprocessing: Preprocessing, rng: Generator
    ) -> np.ndarray:
        """Return one image of `preprocessing.image_size`, changed at random.

        Everything but `random_erasing`, which `erase` does after normalization.

        Args:
            pixels: the picture, (H, W, C), any size, before normalization.
            preprocessing: says size, interpolation and mean colour.
            rng: decides everything.
        """
        cropped = self.crop(pixels, preprocessing, rng)
        return self.distort(cropped, rng, preprocessing)

    def of_file(
        self, source: Any, preprocessing: Preprocessing, rng: Generator
    ) -> np.ndarray:
        """Return the same of a picture that is not read yet: a path or anything else.

        Reads no more of a file than the crop needs.
        """
        if self.crop_area is not None:
            state = rng.bit_generator.state
            picture = crop_file(source, self.crop_area, preprocessing, rng)
            if picture is not None:
                return self._distort_picture(picture, rng, preprocessing)
            rng.bit_generator.state = state
        return self(preprocessing.to_array(source), preprocessing, rng)

    def values(
        self, source: Any, preprocessing: Preprocessing, rng: Generator
    ) -> np.ndarray:
        """Return a picture as a model sees it in training, float32 (H, W, C).

        Args:
            source: a path, PIL image or array.
            preprocessing: what it goes through.
            rng: decides everything.
        """
        values = preprocessing.normalize(self.of_file(source, preprocessing, rng))
        self.erase(values, rng)
        return values

    def crop(
        self, pixels: np.ndarray, preprocessing: Preprocessing, rng: Generator
    ) -> np.ndarray:
        """Resize a picture to `preprocessing.image_size`.

        With `crop_area` or `crop_padding`, a random part of the picture.
        """
        if self.crop_area is not None:
            return crop_array(pixels, self.crop_area, preprocessing, rng)
        if self.crop_padding is not None:
            return crop_padded(pixels, self.crop_padding, preprocessing, rng)
        return preprocessing.resize_image(pixels)

    def distort(
        self,
        pixels: np.ndarray,
        rng: Generator,
        preprocessing: Preprocessing | None = None,
    ) -> np.ndarray:
        """Change an image that has its final size.

        Args:
            pixels: (H, W, C).
            rng: decides everything.
            preprocessing: says interpolation and mean colour. Default: bicubic, grey.
        """
        if self.horizontal_flip and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        if self._moves:
            pixels = self._random_affine(pixels, rng)
        if self._colors:
            picture = self._recolor(_to_picture(pixels), rng, preprocessing)
            pixels = _from_picture(picture)
        return self._extra_steps(pixels, rng)

    def erase(self, values: np.ndarray, rng: Generator) -> None:
        """Erase a rectangle of a normalized image, float32 (H, W, C), in place."""
        if self.random_erasing:
            erase_rectangle(values, self.random_erasing, rng)

    @property
    def _moves(self) -> bool:
        return bool(self.rotation or self.shear or self.translation or self.zoom)

    @property
    def _colors(self) -> bool:
        parts = self.rand_augment, self.aug_mix
        return self.three_augment or any(parts) or any(self.color_jitter)

    def _distort_picture(
        self, picture: Any, rng: Generator, preprocessing: Preprocessing
    ) -> np.ndarray:
        """Do what `distort` does to a Pillow picture, with fewer copies."""
        from PIL import Image

        if self.horizontal_flip and rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self._moves:
            moved = self._random_affine(_from_picture(picture), rng)
            picture = _to_picture(moved)
        if self._colors:
            picture = self._recolor(picture, rng, preprocessing)
        return self._extra_steps(_from_picture(picture), rng)

    def _recolor(
        self, picture: Any, rng: Generator, preprocessing: Preprocessing | None
    ) -> Any:
        paint = _paint(preprocessing)
        if self.three_augment:
            picture = _three_augment(picture, paint, rng)
        if self.rand_augment is not None:
            picture = self.rand_augment(picture, paint, rng)
        if self.aug_mix is not None:
            picture = self.aug_mix(picture, paint, rng)
        if any(self.color_jitter):
            picture = jitter_color(picture, self.color_jitter, paint, rng)
        return picture

    def _extra_steps(self, pixels: np.ndarray, rng: Generator) -> np.ndarray:
        for config in self.extra:
            pixels = apply_to_image(config, pixels, rng)
        return pixels

    def _random_affine(self, pixels: np.ndarray, rng: Generator) -> np.ndarray:
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


def _area(crop_area: Any) -> tuple[float, float]:
    """Return (smallest, largest) share of a crop, also from a list."""
    area = tuple(float(share) for share in np.atleast_1d(crop_area))
    if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
        raise ValueError(
            "crop_area must be (smallest, largest) with 0 < smallest <= largest <= 1, "
            f"received crop_area={crop_area!r}. For example (0.08, 1.0)."
        )
    return area


def _part(name: str, value: Any, kind: type) -> Any:
    """Return an option that is an object: also from True, False or a dictionary."""
    if isinstance(value, Mapping):
        return kind(**value)
    if value is True:
        return kind()
    if value is None or value is False:
        return None
    if not isinstance(value, kind):
        valid = f"a {kind.__name__}, True or None"
        raise TypeError(f"{name} must be {valid}, received {name}={value!r}.")
    return value


def _three_augment(picture: Any, paint: Paint, rng: Generator) -> Any:
    choice = int(rng.integers(3))
    name = ("grey", "solarize", "blur")[choice]
    strength = (0.0, 128.0, rng.uniform(0.1, 2.0))[choice]
    return OPERATIONS[name](picture, strength, paint)


def _paint(preprocessing: Preprocessing | None) -> Paint:
    from PIL import Image

    if preprocessing is None:
        return Paint(fill=(128,) * 4, resample=Image.Resampling.BICUBIC)
    name = preprocessing.interpolation
    resample = Image.Resampling[(name if name in _MOVING else "bicubic").upper()]
    fill = tuple(min(255, round(255 * mean)) for mean in preprocessing.mean)
    return Paint(fill=fill, resample=resample)


def _to_picture(pixels: np.ndarray) -> Any:
    from PIL import Image

    if pixels.shape[-1] not in _MODES:
        raise ValueError(
            "Colours change in images of 1, 3 or 4 channels, received shape "
            f"{pixels.shape}. Leave three_augment, rand_augment, aug_mix and "
            "color_jitter out."
        )
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255).astype("uint8")
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _from_picture(picture: Any) -> np.ndarray:
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels
