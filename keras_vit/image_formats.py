"""Which image files are read: formats, the endings of their names, the largest size."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

# Formats that hold pixels and nothing that runs: Pillow would start Ghostscript for an
# EPS file, whatever its name. Those that are known by little come last.
FORMATS = (
    *("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "PPM", "AVIF", "HEIF"),
    *("JPEG2000", "QOI", "SGI", "ICO", "PCX", "TGA"),
)
# An environment variable, as the command line has no place for what is so rare.
PIXELS_VARIABLE = "KERAS_VIT_MAX_PIXELS"
_DEFAULT_PIXELS = 178_956_970  # At which Pillow stops.
_CONVERT = "convert them to PNG or JPEG"
_HEIF = (".heic", ".heif", ".hif", ".heics", ".heifs")
_OTHER_PICTURES = (
    *(".svg", ".eps", ".ps", ".pdf", ".psd", ".dng", ".nef", ".cr2", ".cr3", ".arw"),
    *(".orf", ".rw2", ".raf", ".raw", ".jxl", ".jxr", ".exr", ".hdr", ".dcm", ".npy"),
    *(".wmf", ".emf", ".xcf", ".fits", ".icns"),
)


def readable_formats() -> tuple[str, ...]:
    """Return the names of the formats that are read, as Pillow calls them.

    Those of `FORMATS` that this Pillow knows; "HEIF" where pillow-heif is installed.
    """
    from PIL import Image

    Image.init()
    _register_heif()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def _register_heif() -> None:
    if find_spec("pillow_heif") is None:
        return
    import pillow_heif  # pyright: ignore[reportMissingImports]

    pillow_heif.register_heif_opener()


def readable_endings() -> tuple[str, ...]:
    """Return how names of image files end, in lower case."""
    from PIL import Image

    formats = {*readable_formats(), "MPO"}  # That of two pictures, read as JPEG.
    known = Image.registered_extensions()
    return tuple(ending for ending, name in known.items() if name in formats)


def what_reads(ending: str) -> str:
    """Return what would read files with an ending that is not read, or ""."""
    if ending in _HEIF:
        return "pip install pillow-heif"
    if ending in (".avif", ".avifs"):
        return "pip install 'pillow>=11.3'"
    return _CONVERT if ending in _OTHER_PICTURES else ""


def pixel_limit() -> int | None:
    """Return how many pixels a picture may have, None for any number.

    The environment variable `KERAS_VIT_MAX_PIXELS`, else twice
    `PIL.Image.MAX_IMAGE_PIXELS`, at which Pillow itself stops.

    Raises:
        ValueError: if the variable is no whole number above 0.
    """
    from PIL import Image

    text = os.environ.get(PIXELS_VARIABLE)
    if text is None:
        half = Image.MAX_IMAGE_PIXELS
        return None if half is None else 2 * half
    if not text.isdecimal() or int(text) == 0:
        raise ValueError(
            f"{PIXELS_VARIABLE} must be a whole number of pixels above 0, received "
            f"{text!r}. For example {PIXELS_VARIABLE}=400000000."
        )
    limit = int(text)
    # Pillow's own, which it would apply first.
    if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < limit:
        Image.MAX_IMAGE_PIXELS = limit
    return limit
