"""Read a path, picture or array as pixels. Shapes: H W C image."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Transparency = Literal["drop", "white"]


def to_array(
    image: Any, channels: int, transparency: Transparency = "drop"
) -> np.ndarray:
    """Read a path, PIL image or array as an array (H, W, channels).

    Args:
        image: any size.
        channels: 1 is grey, 3 RGB, 4 RGBA; arrays may have any number.
        transparency: "drop" leaves alpha out, "white" lays the image on white.

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
        image = ImageOps.exif_transpose(image)
        return _pil_to_array(image, channels, transparency)
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
        return _pil_to_array(Image.fromarray(pixels), channels, transparency)
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


def _pil_to_array(
    image: Image.Image, channels: int, transparency: Transparency
) -> np.ndarray:
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
    if transparency == "white" and channels != 4 and image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    pixels = np.asarray(image.convert(_MODES[channels]))
    return pixels[..., None] if channels == 1 else pixels
