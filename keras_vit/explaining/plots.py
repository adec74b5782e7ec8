"""Plots with Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_SIZE = (640, 400)  # pixels of a plot
_FINER = 3  # drawn larger and made smaller, so that round things are round
_MARGINS = (64, 16, 20, 48)  # left, top, right, bottom
_PICTURE, _CAPTION = 160, 14  # pixels of a picture in a row, and of its text
_DOT, _LINE, _TEXT = "#1f57c3", "#d8dae0", "#17181c"


def dots(values: np.ndarray, x_label: str, y_label: str) -> Any:
    """Return a PIL image with a dot for each value over the number of its row.

    Args:
        values: (rows, any), at least 0.
        x_label: what rows are; they are counted from 0.
        y_label: what values are.
    """
    from PIL import Image, ImageDraw, ImageFont

    width, height = (_FINER * side for side in _SIZE)
    left, top, right, bottom = (_FINER * margin for margin in _MARGINS)
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    font: Any = ImageFont.load_default(13 * _FINER)
    step = _round_step(float(values.max()))
    highest = step * max(1, int(np.ceil(values.max() / step)))
    base = height - bottom

    def y_of(value: float) -> float:
        return base - (base - top) * value / highest

    for tick in np.arange(0, highest + step / 2, step):
        y = y_of(tick)
        pen.line((left, y, width - right, y), _LINE, _FINER)
        pen.text((left - 8 * _FINER, y), f"{tick:g}", _TEXT, font, anchor="rm")
    count = len(values)
    every = -(-count // 24)
    for row, of_row in enumerate(values):
        x = left + (width - left - right) * (row + 0.5) / count
        if row % every == 0:
            pen.text((x, base + 8 * _FINER), str(row), _TEXT, font, anchor="mt")
        for value in of_row:
            y, radius = y_of(float(value)), 3.5 * _FINER
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, _DOT, "white", _FINER // 2 + 1)
    middle = (left + width - right) / 2
    pen.text((middle, height - 8 * _FINER), x_label, _TEXT, font, anchor="mb")
    _turned_text(image, y_label, font)
    return image.resize(_SIZE, Image.Resampling.LANCZOS)


def tiles(pictures: Sequence[np.ndarray], columns: int, scale: int, gap: int) -> Any:
    """Return a PIL image of small pictures, uint8 (H, W, 3), in rows, enlarged."""
    from PIL import Image

    height, width = (side * scale for side in pictures[0].shape[:2])
    rows = -(-len(pictures) // columns)
    size = (columns * (width + gap) + gap, rows * (height + gap) + gap)
    whole = Image.new("RGB", size, "white")
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        tile = Image.fromarray(picture).resize(
            (width, height), Image.Resampling.NEAREST
        )
        whole.paste(tile, (gap + column * (width + gap), gap + row * (height + gap)))
    return whole


def row_of_pictures(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> Any:
    """Return a PIL image of pictures, uint8 (H, W, 3), in a row, a text below each.

    The first has a frame.
    """
    from PIL import Image, ImageDraw, ImageFont

    font: Any = ImageFont.load_default(_CAPTION)
    side, gap = _PICTURE, 8
    whole = Image.new(
        "RGB", (len(pictures) * (side + gap) + gap, side + 2 * gap + 24), "white"
    )
    pen = ImageDraw.Draw(whole)
    for number, (pixels, caption) in enumerate(zip(pictures, captions, strict=True)):
        picture = Image.fromarray(pixels)
        scale = side / max(picture.size)
        size = tuple(max(1, round(length * scale)) for length in picture.size)
        left = gap + number * (side + gap)
        corner = (left + (side - size[0]) // 2, gap + (side - size[1]) // 2)
        whole.paste(picture.resize(size, Image.Resampling.LANCZOS), corner)
        if number == 0:
            frame = (
                *(c - 3 for c in corner),
                *(c + s + 2 for c, s in zip(corner, size, strict=True)),
            )
            pen.rectangle(frame, None, _DOT, 3)
        text = _shortened(caption, pen, font, side)
        pen.text((left + side / 2, side + 2 * gap + 4), text, _TEXT, font, anchor="mt")
    return whole


def _shortened(text: str, pen: Any, font: Any, width: int) -> str:
    """Return a text that is as wide as a picture at most; its end, a number, stays."""
    if pen.textlength(text, font) <= width:
        return text
    name, _, number = text.rpartition(" ")
    while name and pen.textlength(f"{name}... {number}", font) > width:
        name = name[:-1]
    return f"{name}... {number}"


def _round_step(highest: float) -> float:
    """Return the distance of about five marks: 1, 2 or 5 times a power of ten."""
    raw = max(highest, 1e-9) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    return float(power * next(n for n in (1, 2, 5, 10) if n * power >= raw * 0.999))


def _turned_text(image: Any, text: str, font: Any) -> None:
    """Write a text from the bottom to the top along the left side."""
    from PIL import Image, ImageDraw

    left, top, right, bottom = font.getbbox(text)
    strip = Image.new("RGB", (int(right - left) + 8, int(bottom) + 8), "white")
    ImageDraw.Draw(strip).text((4, 4), text, _TEXT, font)
    turned = strip.rotate(90, expand=True)
    plot = image.height - _FINER * (_MARGINS[1] + _MARGINS[3])
    y = _FINER * _MARGINS[1] + (plot - turned.height) // 2
    image.paste(turned, (2 * _FINER, y))
