"""What an image goes through before the model. Shapes: H W C image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from keras_vit.read_image import Transparency, to_array

if TYPE_CHECKING:
    from PIL import Image

    from keras_vit.field_types import Floats, Size

Resize = Literal["crop", "squash", "border"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
CropRounding = Literal["even", "down"]
ResizeDtype = Literal["uint8", "float32"]

_CHOICES = {
    "resize": Resize,
    "interpolation": Interpolation,
    "crop_rounding": CropRounding,
    "resize_dtype": ResizeDtype,
    "transparency": Transparency,
}
# How many times as large as the crop an image may become before the crop is cut out.
# Below, the order is that of the libraries, to the last bit.
_LARGEST_DETOUR = 32
# Pixels that the widest filter, Lanczos, looks beyond each border; one to be safe.
_FILTER_REACH = 4
# How many times as large as the crop an image may become before the crop is cut out.
# Below, the order is that of the libraries, to the last bit.
_LARGEST_DETOUR = 32
# Pixels that the widest filter, Lanczos, looks beyond each border; one to be safe.
_FILTER_REACH = 4
# Above 1 the crop is larger than the image; far above, it is a percentage by mistake.
_LARGEST_CROP_RATIO = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """Resize, crop and normalize an image to what a model takes.

    The image is resized to `image_size / crop_ratio` with an antialiasing filter, the
    centre of `image_size` is cut out, and each channel becomes
    `((pixel - low) / (high - low) - mean) / std` with `low, high = value_range`. The
    defaults map [0, 255] to [-1, 1], as the paper's code does.

    Calling it takes one image as a path, a PIL image or a NumPy array (H, W) or
    (H, W, C), any size, and returns a float32 array (height, width, channels). Colour
    is converted to `channels`: 1 is grey, 3 RGB, 4 RGBA. Arrays with another number of
    channels must match.

    timm and transformers compute the same with the right options, except that here
    EXIF rotation is always applied (timm never does, transformers only to paths) and
    grey of 16 bits is scaled to bytes (they clip it at 255).

    Args:
        image_size: pixels of the result, one number or (height, width). Default 224.
        channels: of the result, at least 1. Default 3.
        resize: "crop" (default) keeps the proportions and cuts what stands over;
            "squash" resizes both sides; "border" keeps the proportions and the whole
            image, and fills what is missing with the mean colour.
        crop_ratio: `image_size` as a share of the size to which the image is resized,
            one number or one each for (height, width), (0, 2]. Default 1. Above 1, the
            image is surrounded by black; see `exact_crop_ratio`.
        interpolation: "nearest", "bilinear", "bicubic" (default), "lanczos", "box" or
            "hamming".
        value_range: pixel values that become 0 and 1 before mean and std. Default
            (0, 255), which image files hold.
        mean: subtracted from each channel, in units of [0, 1]; one number or one per
            channel. Default 0.5.
        std: divides each channel, above 0; one number or one per channel. Default 0.5.
        crop_rounding: where the crop begins if an odd number of pixels stands over:
            "even" (default) rounds half of it to the even number, as timm; "down"
            rounds it down, as transformers.
        resize_dtype: "uint8" (default) rounds images of bytes to bytes when it resizes
            them, as Pillow; "float32" does not, as the processor of DINOv3.
        transparency: what becomes of alpha where the model takes none: "drop"
            (default) leaves it out, as timm and PIL's `convert`; "white" lays the
            image on white, as transformers does with `do_convert_rgb`.

    Raises:
        TypeError: if a number is not a number.
        ValueError: if an option is out of its range.

    Example:
        ```python
        preprocessing = keras_vit.Preprocessing(image_size=224, crop_ratio=0.9)
        values = preprocessing("cat.jpg")
        values.shape, str(values.dtype)  # ((224, 224, 3), 'float32')
        model = keras_vit.ViT(num_classes=2, num_layers=1, preprocessing=preprocessing)
        ```

    Reference: timm.data.transforms_factory.transforms_imagenet_eval (crop modes
    `center`, `squash` and `border`); transformers.image_processing_backends;
    google-research/vision_transformer, value range [-1, 1].
    """

    image_size: Size = (224, 224)  # pyright: ignore[reportAssignmentType]
    channels: int = 3
    resize: Resize = "crop"
    crop_ratio: float | tuple[float, float] = 1.0
    interpolation: Interpolation = "bicubic"
    value_range: tuple[float, float] = (0.0, 255.0)
    mean: Floats = (0.5,)  # pyright: ignore[reportAssignmentType]
    std: Floats = (0.5,)  # pyright: ignore[reportAssignmentType]
    crop_rounding: CropRounding = "even"
    resize_dtype: ResizeDtype = "uint8"
    transparency: Transparency = "drop"

    def __post_init__(self) -> None:
        size = self.image_size
        size = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        if len(size) != 2 or any(not isinstance(s, Integral) or s < 1 for s in size):
            raise ValueError(
                "image_size must be one number of pixels or (height, width), at least "
                f"1, received image_size={self.image_size!r}."
            )
        object.__setattr__(self, "image_size", tuple(int(s) for s in size))
        if self.channels < 1:
            raise ValueError(
                f"channels must be at least 1, received channels={self.channels}."
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {list(get_args(choices))}, received "
                    f"{name}={getattr(self, name)!r}."
                )
        object.__setattr__(self, "crop_ratio", _crop_ratio(self.crop_ratio))
        low, high = self.value_range
        if not low < high:
            raise ValueError(
                "value_range must be (low, high) with low below high, received "
                f"value_range={tuple(self.value_range)}."
            )
        object.__setattr__(self, "value_range", (float(low), float(high)))
        for name in ("mean", "std"):
            numbers = _per_channel(name, getattr(self, name), self.channels)
            object.__setattr__(self, name, numbers)
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, received std={self.std}.")

    def __call__(self, image: Any) -> np.ndarray:
        """Return one image, ready for the model: float32, (height, width, channels).

        Raises:
            ValueError: also if the image is an array of floats between 0 and 1 where
                `value_range` says more; see `check_unit`.
        """
        if hasattr(image, "shape"):
            pixels = np.asarray(image)
            is_float = np.issubdtype(pixels.dtype, np.floating)
            self.check_unit(is_float and bool(pixels.size) and 0 < pixels.max() <= 1)
        return self.to_values(image)

    def to_values(self, image: Any) -> np.ndarray:
        """Return one of a set of images, ready for the model, as a call does.

        What a set holds is asked of the set, by `check_unit`: a dark picture of many
        has values between 0 and 1, too.
        """
        return self.normalize(self.resize_image(self.to_array(image)))

    def check_unit(self, is_unit: bool) -> None:
        """Raise a ValueError where floats are between 0 and 1 and should not be.

        Args:
            is_unit: whether the values of all images are, and not all 0.
        """
        if is_unit and self.value_range[1] > 1:
            raise ValueError(
                f"Pixel values must be in value_range={self.value_range}, received "
                "floats between 0 and 1. Multiply them by 255, or use "
                "Preprocessing(value_range=(0, 1))."
            )

    def to_array(self, image: Any) -> np.ndarray:
        """Read a path, PIL image or array as an array (H, W, channels), any size.

        Raises:
            FileNotFoundError: if the path does not exist.
            OSError: if the file is not a readable image.
            ValueError: if an array has another rank or number of channels, or values
                outside of `value_range`.
        """
        is_array = hasattr(image, "shape")
        pixels = to_array(image, self.channels, self.transparency)
        low, high = self.value_range
        if not is_array and (low, high) != (0.0, 255.0):
            # Files hold bytes, whatever the arrays that the model was trained on hold.
            return pixels.astype("float32") * ((high - low) / 255) + low
        if pixels.dtype == np.bool_:
            return pixels.astype("float32") * (high - low) + low
        if pixels.dtype == np.uint8 and (low, high) == (0.0, 255.0):
            return pixels
        slack = 0.02 * (high - low)  # Resampled pictures overshoot a little.
        inside = (pixels >= low - slack) & (pixels <= high + slack)
        if not inside.all():  # Values that are no numbers are outside, too.
            raise ValueError(
                f"Pixel values must be in value_range={self.value_range}, received "
                f"{pixels.dtype} values from {pixels.min()} to {pixels.max()}. Scale "
                "them, or use Preprocessing(value_range=(low, high))."
            )
        return pixels

    @property
    def resized_size(self) -> tuple[int, int]:
        """Pixels, (height, width), of the rectangle that the resized image covers.

        With "border", the rectangle into which the whole image fits.
        """
        ratio = self.crop_ratio
        ratios = ratio if isinstance(ratio, tuple) else (ratio, ratio)
        pairs = zip(self.image_size, ratios, strict=True)
        height, width = (max(1, math.floor(size / ratio)) for size, ratio in pairs)
        return height, width

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Pixels, (height, width), to which an image of that size is resized."""
        target_height, target_width = self.resized_size
        if self.resize == "squash":
            return target_height, target_width
        if self.resize == "crop" and target_height == target_width:
            # The longer side is truncated, in both libraries.
            if width >= height:
                return target_height, target_width * width // height
            return target_height * height // width, target_width
        # And rounded otherwise: timm.data.transforms.ResizeKeepRatio, to the last bit.
        ratios = height / target_height, width / target_width
        ratio = min(ratios) if self.resize == "crop" else max(ratios)
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    def crop_offset(self, scaled: tuple[int, int]) -> tuple[int, int]:
        """Pixels, (top, left), where the crop begins in a resized image.

        Negative where the crop is larger than the image.
        """
        halve = _HALVES[self.crop_rounding]
        pairs = zip(scaled, self.image_size, strict=True)
        top, left = (halve(size - target) for size, target in pairs)
        return top, left

    @property
    def border_color(self) -> tuple[float, ...]:
        """Pixel values, one per channel, beside an image that is too small."""
        low, high = self.value_range
        if self.resize != "border":
            return (low,) * self.channels
        # Whole bytes, as timm fills them.
        return tuple(low + (high - low) * round(255 * m) / 255 for m in self.mean)

    def resize_image(self, pixels: np.ndarray) -> np.ndarray:
        """Resize and crop an array (H, W, C) to `image_size`, without normalizing."""
        scaled = self.scaled_size(*pixels.shape[:2])
        offset = self.crop_offset(scaled)
        rows, columns = (
            (max(0, first), min(size, first + target))
            for first, size, target in zip(offset, scaled, self.image_size, strict=True)
        )
        pixels = self.resize_window(pixels, scaled, rows, columns)
        if pixels.shape[:2] != self.image_size:
            return self._add_border(pixels, offset)
        return pixels

    def _add_border(self, pixels: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
        """Enlarge an image to the crop, which begins at `offset` of it."""
        result = np.empty((*self.image_size, pixels.shape[2]), pixels.dtype)
        result[:] = np.asarray(self.border_color).astype(pixels.dtype)
        top, left = (max(0, -first) for first in offset)
        result[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return result

    def resize_window(
        self,
        pixels: np.ndarray,
        scaled: tuple[int, int],
        rows: tuple[int, int],
        columns: tuple[int, int],
    ) -> np.ndarray:
        """Resize an array (H, W, C) to `scaled` and return a part of the result.

        Of a long strip, only that part is computed: as a whole, 1 x 30,000 pixels would
        become 224 x 6,720,000.

        Args:
            pixels: the image.
            scaled: its new size, (height, width).
            rows: first and end of those that are returned.
            columns: the same.
        """
        if math.prod(scaled) <= _LARGEST_DETOUR * math.prod(self.image_size):
            return self.resize_to(pixels, scaled)[slice(*rows), slice(*columns)]
        return resize_part(
            pixels, scaled, rows, columns, self.interpolation, self.resize_dtype
        )

    def resize_to(self, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize an array (H, W, C) to `size`, (height, width), with no crop."""
        if self.resize_dtype == "float32":
            pixels = pixels.astype("float32")
        if size == pixels.shape[:2]:
            return pixels
        return resize_array(pixels, size, self.interpolation)

    def to_pixels(self, image: Any, size: tuple[int, int] | None) -> np.ndarray:
        """Return one image as bytes, for models that preprocess in their graph.

        Args:
            image: as in a call of this object.
            size: pixels, (height, width), to which it is resized, keeping or changing
                the proportions as `resize` says. None: its own size.
        """
        pixels = self.to_array(image)
        if size is not None:
            whole = replace(self, image_size=size, crop_ratio=1.0)
            pixels = whole.resize_image(pixels)
        return np.clip(np.rint(pixels), 0, 255).astype("uint8")

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """Map pixel values, (..., C), to the model's float32 values."""
        scale, offset = self.scale_and_offset
        return pixels.astype("float32") * scale + offset

    @property
    def scale_and_offset(self) -> tuple[np.ndarray, np.ndarray]:
        """What `normalize` multiplies by and adds, float32, one number per channel.

        In this form also in exported graphs and in the page that runs one.
        """
        low, high = self.value_range
        std = np.asarray(self.std, "float64") * (high - low)
        offset = -(np.asarray(self.mean) * (high - low) + low) / std
        return (1 / std).astype("float32"), offset.astype("float32")

    def denormalize(self, values: np.ndarray) -> np.ndarray:
        """Undo `normalize`: from the model's values, (..., C), to pixel values."""
        low, high = self.value_range
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        unit = np.asarray(values, "float32") * std + mean
        return (unit * (high - low) + low).astype("float32")


def exact_crop_ratio(crop: int, resized: int) -> float:
    """Return the `crop_ratio` that resizes to `resized` pixels and cuts out `crop`.

    `crop / resized`, or the number below it where floating point would lose a pixel.
    """
    ratio = crop / resized
    if math.floor(crop / ratio) == resized:
        return ratio
    return math.nextafter(ratio, 0.0)


def resize_array(
    pixels: np.ndarray, size: tuple[int, int], interpolation: Interpolation
) -> np.ndarray:
    """Resize an array (H, W, C) to `size`, (height, width), as Pillow does.

    uint8 stays uint8 and in [0, 255]; other types are resized in float32.
    """
    from PIL import Image

    resample = Image.Resampling[interpolation.upper()]
    shape = (size[1], size[0])  # Pillow takes (width, height).
    return map_planes(pixels, lambda image: image.resize(shape, resample))


def resize_part(
    pixels: np.ndarray,
    size: tuple[int, int],
    rows: tuple[int, int],
    columns: tuple[int, int],
    interpolation: Interpolation,
    dtype: ResizeDtype,
) -> np.ndarray:
    """Return the rows and columns, (first, end), of an image resized to `size`.

    As `resize_array(...)[rows, columns]` up to rounding, without the rest.
    """
    from PIL import Image

    crops, edges = [], []
    sides = zip(pixels.shape[:2], size, (rows, columns), strict=True)
    for length, resized, (first, end) in sides:
        scale = length / resized
        reach = math.ceil(_FILTER_REACH * max(1.0, scale))
        low = max(0, math.floor(first * scale) - reach)
        high = min(length, math.ceil(end * scale) + reach)
        crops.append(slice(low, high))
        edges.append((first * scale - low, min(end * scale, length) - low))
    box = (edges[1][0], edges[0][0], edges[1][1], edges[0][1])
    shape = (columns[1] - columns[0], rows[1] - rows[0])
    resample = Image.Resampling[interpolation.upper()]
    needed = np.ascontiguousarray(pixels[crops[0], crops[1]])
    if dtype == "float32":
        needed = needed.astype("float32")
    return map_planes(needed, lambda image: image.resize(shape, resample, box=box))


def map_planes(
    pixels: np.ndarray, function: Callable[[Image.Image], Image.Image]
) -> np.ndarray:
    """Apply a Pillow function to an array (H, W, C) of any type and number of channels.

    Grey and RGB bytes go as one image, anything else plane by plane, bytes as they are
    and other types in float32.
    """
    from PIL import Image

    is_bytes = pixels.dtype == np.uint8
    if is_bytes and pixels.shape[-1] == 3:
        return np.asarray(function(Image.fromarray(pixels)))
    planes = np.moveaxis(pixels if is_bytes else pixels.astype("float32"), -1, 0)
    images = (Image.fromarray(np.ascontiguousarray(plane)) for plane in planes)
    return np.stack([np.asarray(function(image)) for image in images], axis=-1)


def _per_channel(name: str, numbers: Any, channels: int) -> tuple[float, ...]:
    values = (numbers,) if isinstance(numbers, Real) else tuple(numbers)
    if not all(isinstance(value, Real) for value in values):
        raise TypeError(f"{name} must hold numbers, received {name}={numbers!r}.")
    if len(values) == 1:
        values *= channels
    if len(values) != channels:
        raise ValueError(
            f"{name} must be one number or one for each of the {channels} channels, "
            f"received {name}={tuple(values)}."
        )
    return tuple(float(value) for value in values)


def _crop_ratio(ratio: Any) -> float | tuple[float, float]:
    ratios = tuple(ratio) if isinstance(ratio, (tuple, list)) else (ratio, ratio)
    if len(ratios) != 2 or not all(0 < r <= _LARGEST_CROP_RATIO for r in ratios):
        raise ValueError(
            "crop_ratio must be one number or (height, width), above 0 and at most "
            f"{_LARGEST_CROP_RATIO:g}, received crop_ratio={ratio!r}."
        )
    height, width = (float(r) for r in ratios)
    return height if height == width else (height, width)


def _half_to_even(rest: int) -> int:
    # torchvision.transforms.functional.center_crop pads with the smaller half first.
    return round(rest / 2) if rest > 0 else -(-rest // 2)


def _half_down(rest: int) -> int:
    # transformers.image_transforms.center_crop.
    return rest // 2


_HALVES = {"even": _half_to_even, "down": _half_down}
