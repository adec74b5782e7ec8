"""Read a path, picture or array as pixels. Shapes: H W C image.

What is a readable picture is decided here alone: `to_array` reads one, `why_unreadable`
says why it would not, and `opened` is for who needs only a part of a file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_vit.image_formats import PIXELS_VARIABLE, pixel_limit, readable_formats

if TYPE_CHECKING:
    from PIL import Image

Transparency = Literal["drop", "white"]

_ORIENTATION = 0x0112  # EXIF tag
_UNREADABLE = "cannot be read as an image: "


def to_array(
    image: Any, channels: int, transparency: Transparency = "drop"
) -> np.ndarray:
    """Read a path, PIL image or array as an array (H, W, channels).

    A picture is turned as its EXIF says. Of a file with several, such as an animation,
    it is the first. A warning names a file whose EXIF cannot be read.

    Args:
        image: any size.
        channels: 1 is grey, 3 RGB, 4 RGBA; arrays may have any number.
        transparency: "drop" leaves alpha out, "white" lays the image on white.

    Raises:
        FileNotFoundError: if the path does not exist.
        OSError: if the file is not a readable image, or larger than `pixel_limit`.
        TypeError: if the image is something else.
        ValueError: if an array has another rank or number of channels, or a picture
            does not say the range of its values.
    """
    from PIL import Image

    is_picture = isinstance(image, Image.Image)
    if is_picture or not hasattr(image, "shape"):
        picture = _decoded(image) if is_picture else _read(image)
        return _picture_to_array(picture, channels, transparency, name_of(image))
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
        picture = Image.fromarray(pixels)
        return _picture_to_array(picture, channels, transparency, "an array")
    raise ValueError(
        f"Images must have {channels} channel(s), received an array of shape "
        f"{pixels.shape} and dtype {pixels.dtype}. Channels come last; select or "
        "convert them first."
    )


def why_unreadable(path: Any) -> str | None:
    """Return why `to_array` refuses an image file, or None where it reads it.

    A JPEG is decoded at an eighth of its size: still the whole file, much faster.

    Args:
        path: of the file, or an open file.
    """
    name = name_of(path)
    try:
        _picture_to_array(_read(path, reduced=True), 3, "drop", name)
    except (OSError, ValueError) as error:
        reason = str(error).removeprefix(f"{name} ").removeprefix(_UNREADABLE)
        return (reason or type(error).__name__).replace(name, "it").splitlines()[0]
    return None


def holds_several(path: Any) -> bool:
    """Return whether a file has more pictures than the first, which alone is read.

    Animations and documents of several pages do; the second picture that some cameras
    add to a JPEG does not count.
    """
    try:
        with opened(path) as image:
            return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except OSError:
        return False  # The first one may be readable all the same.


@contextmanager
def opened(path: Any) -> Iterator[Image.Image]:
    """Open an image file without decoding it; only formats of `readable_formats`.

    Whatever the decoders raise in the block becomes an OSError that names the file.

    Args:
        path: of the file, `~` included; an open file; or what `opened` opens, as of a
            file in an archive.

    Raises:
        FileNotFoundError: if the path does not exist.
        OSError: if the file is no readable image, or larger than `pixel_limit`.
        TypeError: if `path` is something else.
    """
    from PIL import Image

    is_inside = hasattr(path, "opened")  # A file in an archive.
    if not (is_inside or isinstance(path, (str, PathLike)) or hasattr(path, "read")):
        raise TypeError(
            "An image is a path, an open file, a PIL image or an array of shape (H, W) "
            f"or (H, W, C), received {type(path).__name__}. Use numpy.asarray for "
            "nested lists."
        )
    limit, formats = pixel_limit(), readable_formats()
    with _named_errors(name_of(path)):
        if isinstance(path, (str, Path)):
            path = Path(path).expanduser()
        path = path.opened() if is_inside else path  # pyright: ignore
        with Image.open(path, formats=formats) as image:
            count = image.width * image.height
            if limit is not None and count > limit:
                raise Image.DecompressionBombError(
                    f"Image size ({count} pixels) exceeds limit of {limit} pixels"
                )
            yield image


def orientation_of(image: Image.Image) -> Any:
    """Return how the pixels of a picture lie, 1 to 8 as in EXIF; 1 is upright.

    Raises whatever Pillow does for an EXIF block that is none.
    """
    from PIL import Image

    block = image.info.get("exif")
    if block:
        # Pillow has tried it when it opened the file, and hides what that raised.
        Image.Exif().load(block)
    return image.getexif().get(_ORIENTATION, 1)


def name_of(image: Any) -> str:
    """Return how errors call a path, an open file or a PIL image."""
    if isinstance(image, (str, PathLike)):
        return repr(str(image))
    name = getattr(image, "filename", None) or getattr(image, "name", None)
    return repr(str(name)) if name else f"a picture ({type(image).__name__})"


def _read(path: Any, reduced: bool = False) -> Image.Image:
    """Return the picture of a file, decoded and upright."""
    with opened(path) as image:
        if reduced:
            image.draft(None, (1, 1))  # pyright: ignore[reportArgumentType]
        return _decoded(image, name_of(path))


def _decoded(image: Image.Image, name: str | None = None) -> Image.Image:
    """Decode a picture and turn it as its EXIF says."""
    name = name or name_of(image)
    with _named_errors(name):
        image.load()
    try:
        orientation = orientation_of(image)
    except Exception as error:  # Pillow's readers of EXIF raise many types.
        warnings.warn(
            f"The EXIF of {name} cannot be read and is left out, so that the picture "
            f"is not turned: {error or type(error).__name__}. Look whether it stands "
            "upright.",
            stacklevel=2,
        )
        return image
    turn = _turns().get(orientation)
    return image if turn is None else image.transpose(turn)


@cache
def _turns() -> dict[Any, Any]:
    """Return what makes a picture upright, by its EXIF orientation."""
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Make an OSError that names the picture of whatever Pillow raises."""
    from PIL import Image

    try:
        yield
    except (FileNotFoundError, _NamedError, Warning):
        raise
    except Image.DecompressionBombError as error:
        reason = str(error).partition(", could")[0]
        raise _NamedError(
            f"{name} is too large: {reason}. Make it smaller, or raise the limit: "
            f"{PIXELS_VARIABLE}=N in the environment, or PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except Exception as error:  # Pillow's decoders raise many types for bad bytes.
        reason = str(error) or type(error).__name__
        raise _NamedError(f"{name} {_UNREADABLE}{reason}") from error


class _NamedError(OSError):
    """An error that names the picture already."""


_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def _picture_to_array(
    image: Image.Image, channels: int, transparency: Transparency, name: str
) -> np.ndarray:
    if channels not in _MODES:
        raise ValueError(
            f"An image file has 1, 3 or 4 channels, the model takes {channels}. "
            "Pass arrays of shape (H, W, channels) instead of files."
        )
    if image.mode == "F":
        raise ValueError(
            f"A picture of floating-point numbers does not say its range: {name}. Read "
            "it as an array and use Preprocessing(value_range=(low, high))."
        )
    with _named_errors(name):
        pixels = np.asarray(_converted(image, _MODES[channels], transparency))
    return pixels[..., None] if channels == 1 else pixels


def _converted(
    image: Image.Image, mode: str, transparency: Transparency
) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode == "I":
        # Sixteen bits; PIL would clip these at 255 instead of scaling them. A dark
        # picture is no other kind: only one made in memory may hold bytes in 32 bits.
        wide = np.clip(np.asarray(image), 0, 65535)
        is_from_file = image.mode != "I" or getattr(image, "format", None) is not None
        if is_from_file or wide.max() > 255:
            wide = wide // 257
        image = Image.fromarray(wide.astype("uint8"))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if transparency == "white" and mode != "RGBA" and image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(mode)
