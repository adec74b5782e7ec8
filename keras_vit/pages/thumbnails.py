"""Small pictures inside a page, as addresses of <img>."""

from __future__ import annotations

import base64
import io
from typing import Any

SIDE = 272  # pixels: twice what a page shows
SMALL = 96  # pixels; a picture below is drawn with its pixels visible
_QUALITY = 80


def as_jpeg(image: Any, side: int = SIDE, quality: int = _QUALITY) -> str:
    """Return a PIL image as an address, no larger than `side` pixels."""
    image = image.convert("RGB")
    if max(image.size) < SMALL:
        return as_png(image)  # It would lose more than it saves.
    image.thumbnail((side, side))
    return _address(image, "JPEG", quality=quality)


def as_png(image: Any) -> str:
    """Return a PIL image as an address, with each pixel as it is."""
    return _address(image, "PNG", optimize=True)


def _address(image: Any, format: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, format, **options)
    code = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/{format.lower()};base64,{code}"
