"""A map as colours over its picture. H, W picture."""

from __future__ import annotations

from typing import Any

import numpy as np

# Viridis of Matplotlib (CC0), at even distances: equal steps look equal, also to people
# who do not tell red from green, and in grey.
_COLOURS = np.array(
    [
        (68, 1, 84),
        (72, 36, 117),
        (65, 68, 135),
        (53, 95, 141),
        (42, 120, 142),
        (33, 145, 140),
        (34, 168, 132),
        (68, 191, 112),
        (122, 209, 81),
        (189, 223, 38),
        (253, 231, 37),
    ],
    "float64",
)
_SHARE = 0.55  # of the colour; the rest is the picture
_UNSEEN = 0.35  # brightness of what the model did not see
_LEGEND = 26  # pixels below the picture
_TEXT = 13  # pixels of a line in it
_SMALLEST = 224  # pixels of a picture's longer side
_GAP = 8  # pixels between two pictures


def draw(picture: np.ndarray, values: np.ndarray, low: str, high: str) -> Any:
    """Return a PIL image of the map over the picture, with a legend below.

    Args:
        picture: uint8 (H, W, 3).
        values: float (H, W). Low ones are dark blue, high ones yellow; the one
            percent on each side look the same, so that a single patch does not darken
            all others. NaN: not seen, the picture is darker there.
        low: what the lowest means.
        high: what the highest means.
    """
    drawn = over(picture, colours_of(scaled(values)), ~np.isnan(values))
    return with_legend(drawn, low, high)


def with_legend(drawn: Any, low: str, high: str) -> Any:
    """Return a PIL image with the colours below it, from the lowest to the highest."""
    from PIL import Image, ImageDraw, ImageFont

    width, height = drawn.size
    font: Any = ImageFont.load_default(_TEXT)
    whole = Image.new("RGB", (width, height + _LEGEND), "white")
    whole.paste(drawn)
    pen = ImageDraw.Draw(whole)
    # The space of Pillow's font is so narrow that words run together.
    low, high = (text.replace(" ", "  ") for text in (low, high))
    before, after = (int(pen.textlength(text, font)) for text in (low, high))
    bar = max(1, width - before - after - 24)
    shades = colours_of(np.linspace(0, 1, bar)[None].repeat(8, axis=0))
    strip = Image.fromarray(np.rint(shades).astype("uint8"))
    top = height + _LEGEND // 2
    whole.paste(strip, (before + 12, top - 4))
    pen.text((6, top), low, "black", font, anchor="lm")
    pen.text((width - 6, top), high, "black", font, anchor="rm")
    return whole


def draw_colours(picture: np.ndarray, shares: np.ndarray) -> Any:
    """Return a PIL image of colours, float (H, W, 3) from 0 to 1, over the picture.

    NaN: the picture is darker there.
    """
    return over(picture, 255 * np.nan_to_num(shares), ~np.isnan(shares[..., 0]))


def over(picture: np.ndarray, colours: np.ndarray, is_seen: np.ndarray) -> Any:
    """Return a PIL image of colours over a picture, which is grey there.

    Args:
        picture: uint8 (H, W, 3).
        colours: float (H, W, 3) from 0 to 255.
        is_seen: bool (H, W); elsewhere the picture is darker.
    """
    from PIL import Image

    grey = picture.astype("float64").mean(axis=-1, keepdims=True)
    drawn = _SHARE * colours + (1 - _SHARE) * grey
    drawn = np.where(is_seen[..., None], drawn, _UNSEEN * picture)
    return Image.fromarray(np.clip(np.rint(drawn), 0, 255).astype("uint8"))


def ring(picture: Any, point: tuple[float, float]) -> Any:
    """Return a PIL image with a ring around a point, (x, y) in pixels."""
    from PIL import Image, ImageDraw

    drawn = picture if hasattr(picture, "paste") else Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    radius = max(4, min(drawn.size) / 40)
    box = [c + d for d in (-radius, radius) for c in point]
    width = max(2, round(radius / 3))
    # White in black, so that it is seen on each ground.
    pen.ellipse(
        [box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1], None, "black", width + 2
    )
    pen.ellipse(box, None, "white", width)
    return drawn


def beside(first: Any, second: Any) -> Any:
    """Return two PIL images side by side, the first as high as the second's picture.

    Args:
        first: without a legend.
        second: with one.
    """
    from PIL import Image

    height = second.height - _LEGEND
    width = max(1, round(first.width * height / first.height))
    whole = Image.new("RGB", (width + _GAP + second.width, second.height), "white")
    whole.paste(first.resize((width, height), Image.Resampling.LANCZOS))
    whole.paste(second, (width + _GAP, 0))
    return whole


def enlargement(picture: np.ndarray) -> int:
    """Return how many times a small picture is enlarged, so that it can be seen."""
    return max(1, -(-_SMALLEST // max(picture.shape[:2])))


def enlarged(pixels: np.ndarray, times: int) -> np.ndarray:
    """Return pixels, (H, W) or (H, W, 3), each as a square of so many."""
    return pixels.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else pixels


def scaled(values: np.ndarray) -> np.ndarray:
    """Return values as shares, from the first percent, 0, to the last, 1."""
    low, high = np.nanpercentile(values, (1, 99))
    if not high > low:
        return values * 0.0
    return np.clip((values - low) / (high - low), 0, 1)


def colours_of(values: np.ndarray) -> np.ndarray:
    """Return colours, float64 (..., 3) in [0, 255], of values between 0 and 1."""
    places = np.linspace(0, 1, len(_COLOURS))
    known = np.nan_to_num(values)
    channels = [np.interp(known, places, _COLOURS[:, i]) for i in range(3)]
    return np.stack(channels, axis=-1)
