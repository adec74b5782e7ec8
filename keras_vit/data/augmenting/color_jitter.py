"""Random brightness, contrast, saturation and hue of one picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_vit.data.augmenting.operations import OPERATIONS, Paint

_ENHANCEMENTS = ("brightness", "contrast", "color")


def jitter_color(
    image: Any, ranges: tuple[float, ...], paint: Paint, rng: np.random.Generator
) -> Any:
    """Change brightness, contrast, saturation and hue, in an order that is drawn.

    Args:
        image: Pillow picture, "L", "RGB" or "RGBA". Grey has no saturation and no hue.
        ranges: (brightness, contrast, saturation) or those and hue: each of the first
            three is multiplied by a factor from 1 - range to 1 + range, not below 0;
            hue turns by up to that share of the circle to either side, [0, 0.5].
        paint: as for the operations.
        rng: decides everything.

    Reference: torchvision.transforms.ColorJitter.
    """
    for kind in rng.permutation(4):
        spread = ranges[kind] if kind < len(ranges) else 0.0
        if not spread:
            continue
        draw = rng.uniform(-spread, spread)
        if kind < 3:
            factor = max(0.0, 1.0 + draw)
            image = OPERATIONS[_ENHANCEMENTS[kind]](image, factor, paint)
        elif image.mode != "L":
            image = _turn_hue(image, draw)
    return image


def _turn_hue(image: Any, share: float) -> Any:
    from PIL import Image

    hue, saturation, value = image.convert("RGB").convert("HSV").split()
    turned = (np.asarray(hue).astype("int16") + round(share * 255)) % 256
    hue = Image.fromarray(turned.astype("uint8"))
    changed = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    if image.mode == "RGBA":
        changed.putalpha(image.getchannel("A"))
    return changed


def color_ranges(color_jitter: Any) -> tuple[float, ...]:
    """Return (brightness, contrast, saturation[, hue]) for what a user gives.

    Raises:
        ValueError: if a range is negative, or hue above 0.5.
    """
    ranges = color_jitter
    if isinstance(ranges, (int, float)):
        ranges = (ranges,) * 3 if ranges else ()
    ranges = tuple(float(value) for value in ranges)
    wrong = len(ranges) not in (0, 3, 4) or any(not value >= 0 for value in ranges)
    if wrong or (len(ranges) == 4 and ranges[3] > 0.5):
        raise ValueError(
            "color_jitter must be one number for brightness, contrast and saturation, "
            "or (brightness, contrast, saturation) or those and hue, each at least 0, "
            f"hue at most 0.5, received color_jitter={color_jitter!r}."
        )
    return ranges
