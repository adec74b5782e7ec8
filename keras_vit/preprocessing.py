"""What an image goes through before the model. Shapes: H W C image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Resize = Literal["crop", "squash"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """Resize, crop and normalize an image to what a model takes.

    The image is resized to `image_size / crop_ratio` with an antialiasing filter, the
    centre of `image_size` is cut out, and each channel becomes
    `((pixel - low) / (high - low) - mean) / std` with `low, high = value_range`. The
    defaults map [0, 255] to [-1, 1], as the paper's code does.

    Calling it takes one image as a path, a PIL image or a NumPy array (H, W) or
    (H, W, C), any size, and returns a float32 array (height, width, channels). Colour
    is converted to `channels`: 1 is grey, 3 RGB, 4 RGBA; EXIF rotation is applied.
    Arrays with another number of channels must match.

    Args:
        image_size: pixels of the result, one number or (height, width). Default 224.
        channels: of the result, at least 1. Default 3.
        resize: "crop" (default) keeps the proportions and cuts what stands over;
            "squash" resizes both sides.
        crop_ratio: share of the resized image's sides that is kept, (0, 1]. Default 1.
        interpolation: "nearest", "bilinear", "bicubic" (default) or "lanczos".
        value_range: pixel values that become 0 and 1 before mean and std. Default
            (0, 255), which image files hold.
        mean: subtracted from each channel, in units of [0, 1]; one number or one per
            channel. Default 0.5.
        std: divides each channel, above 0; one number or one per channel. Default 0.5.

    Raises:
        TypeError: if a number is not a number.
        ValueError: if an option is out of its range.

    Reference: timm.data.transforms_factory.transforms_imagenet_eval (crop modes
    `center` and `squash`); google-research/vision_transformer, value range [-1, 1].
    """

    image_size: tuple[int, int] = (224, 224)
    channels: int = 3
    resize: Resize = "crop"
    crop_ratio: float = 1.0
    interpolation: Interpolation = "bicubic"
    value_range: tuple[float, float] = (0.0, 255.0)
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)

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
        for name, choices in (("resize", Resize), ("interpolation", Interpolation)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {list(get_args(choices))}, received "
                    f"{name}={getattr(self, name)!r}."
                )
        if not 0 < self.crop_ratio <= 1:
            raise ValueError(
                "crop_ratio must be above 0 and at most 1, received "
                f"crop_ratio={self.crop_ratio}."
            )
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
        """Return one image, ready for the model: float32, (height, width, channels)."""
        return self.normalize(self.resize_image(self.to_array(image)))

    def to_array(self, image: Any) -> np.ndarray:
        """Read a path, PIL image or array as an array (H, W, channels), any size.

        Raises:
            FileNotFoundError: if the path does not exist.
            OSError: if the file is not a readable image.
            ValueError: if an array has another rank or number of channels, or holds
                values between 0 and 1 where `value_range` says more.
        """
        is_array = hasattr(image, "shape")
        pixels = to_array(image, self.channels)
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
        is_float = np.issubdtype(pixels.dtype, np.floating)
        if is_float and self.value_range[1] > 1 and 0 < pixels.max() <= 1:
            raise ValueError(
                f"Pixel values must be in value_range={self.value_range}, received "
                "floats between 0 and 1. Multiply them by 255, or use "
                "Preprocessing(value_range=(0, 1))."
            )
        return pixels

    @property
    def resized_size(self) -> tuple[int, int]:
        """Pixels, (height, width), of the rectangle that the resized image covers."""
        height, width = self.image_size
        return math.floor(height / self.crop_ratio), math.floor(width / self.crop_ratio)

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Pixels, (height, width), to which an image of that size is resized."""
        target_height, target_width = self.resized_size
        if self.resize == "squash":
            return target_height, target_width
        if target_height * width >= target_width * height:
            return target_height, max(target_width, target_height * width // height)
        return max(target_height, target_width * height // width), target_width

    def crop_offset(self, scaled: tuple[int, int]) -> tuple[int, int]:
        """Pixels, (top, left), where the crop begins in a resized image."""
        top, left = (
            round((size - target) / 2)
            for size, target in zip(scaled, self.image_size, strict=True)
        )
        return top, left

    def resize_image(self, pixels: np.ndarray) -> np.ndarray:
        """Resize and crop an array (H, W, C) to `image_size`, without normalizing."""
        scaled = self.scaled_size(*pixels.shape[:2])
        pixels = self.resize_to(pixels, scaled)
        top, left = self.crop_offset(scaled)
        height, width = self.image_size
        return pixels[top : top + height, left : left + width]

    def resize_to(self, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize an array (H, W, C) to `size`, (height, width), with no crop."""
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
        low, high = self.value_range
        # One multiplication and one addition, in this form also in the exported graph.
        std = np.asarray(self.std, "float64") * (high - low)
        scale = (1 / std).astype("float32")
        offset = (-(np.asarray(self.mean) * (high - low) + low) / std).astype("float32")
        return pixels.astype("float32") * scale + offset

    def denormalize(self, values: np.ndarray) -> np.ndarray:
        """Undo `normalize`: from the model's values, (..., C), to pixel values."""
        low, high = self.value_range
        unit = np.asarray(values, "float32") * np.asarray(self.std) + np.asarray(
            self.mean
        )
        return (unit * (high - low) + low).astype("float32")


def to_array(image: Any, channels: int) -> np.ndarray:
    """Read a path, PIL image or array as an array (H, W, channels).

    Raises:
        FileNotFoundError: if the path does not exist.
        OSError: if the file is not a readable image.
        TypeError: if the image is something else.
        ValueError: if an array has another rank or number of channels.
    """
    from PIL import Image, ImageOps

    if not hasattr(image, "shape") and not isinstance(image, Image.Image):
        if not isinstance(image, (str, PathLike)) and not hasattr(image, "read"):
            raise TypeError(
                "An image is a path, an open file, a PIL image or an array of shape "
                f"(H, W) or (H, W, C), received {type(image).__name__}. Use "
                "numpy.asarray for nested lists."
            )
        image = _open(image)
    if isinstance(image, Image.Image):
        return _pil_to_array(ImageOps.exif_transpose(image), channels)
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(
            "An image must be an array of shape (H, W) or (H, W, C), received shape "
            f"{np.asarray(image).shape}. Pass a batch as a list of images."
        )
    if pixels.shape[-1] == channels:
        return pixels
    if pixels.shape[-1] == 1:
        return np.repeat(pixels, channels, axis=-1)
    if pixels.dtype == np.uint8 and pixels.shape[-1] in (3, 4):
        return _pil_to_array(Image.fromarray(pixels), channels)
    raise ValueError(
        f"Images must have {channels} channel(s), received an array of shape "
        f"{pixels.shape} and dtype {pixels.dtype}. Channels come last; select or "
        "convert them first."
    )


def _open(path: Any) -> Image.Image:
    from PIL import Image

    try:
        if isinstance(path, (str, Path)):
            path = Path(path).expanduser()
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise many types for bad bytes.
        reason = str(error) or type(error).__name__
        raise OSError(f"{str(path)!r} cannot be read as an image: {reason}") from error


_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def _pil_to_array(image: Image.Image, channels: int) -> np.ndarray:
    from PIL import Image

    if channels not in _MODES:
        raise ValueError(
            f"An image file has 1, 3 or 4 channels, the model takes {channels}. "
            "Pass arrays of shape (H, W, channels) instead of files."
        )
    if image.mode.startswith("I;16") or image.mode == "I":
        # Sixteen bits; PIL would clip these at 255 instead of scaling them.
        wide = np.clip(np.asarray(image), 0, 65535)
        if wide.max() > 255:
            wide = wide // 257
        image = Image.fromarray(wide.astype("uint8"))
    if image.mode == "F":
        raise ValueError(
            "A picture of floating-point numbers does not say its range. Read it as an "
            "array and use Preprocessing(value_range=(low, high))."
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    pixels = np.asarray(image.convert(_MODES[channels]))
    return pixels[..., None] if channels == 1 else pixels


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
