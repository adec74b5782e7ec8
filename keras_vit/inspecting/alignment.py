"""Whether one picture is another one, or a part of it: pixel by pixel.

Pictures of the same kind look alike at a glance. A copy has the same details at the
same places. So the candidate is laid over the other picture, moved and scaled until it
fits best (Lucas and Kanade's method), and the details are correlated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SIZE = 128
# Pixels, steps, and what may be left of the difference then, as a share of the details.
# Coarse levels find the place and stop where nothing fits, fine ones find the rest.
_LEVELS = ((32, 5, 1.0), (64, 4, 0.8), (SIZE, 4, 0.5))
LEAST_DETAILS = 0.5  # correlation that those of a copy have
_CELLS = 16
_BORDER = 0.06  # of the width, left out: frames are the same in many pictures

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Match:
    """How well a picture fits into another one, laid over it at its best.

    Args:
        pixels: correlation of the pixels, up to 1.
        details: correlation of what differs from its surroundings.
        share: of these details in the variance of the pixels.
        box: where it lies in the other one: edges as shares.
        is_copy: whether the details are the same ones, not merely of the same kind.
            What is left of the difference has to be less than half of the details: two
            smooth pictures can correlate highly and be two.
    """

    pixels: float
    details: float
    share: float
    box: Box
    is_copy: bool


def match(whole: Any, crop: Any, box: Box) -> Match:
    """Return how well a picture fits into another one.

    Args:
        whole: grey PIL image, mode "F", SIZE pixels wide and high.
        crop: another one, which may be a part of the first.
        box: where it may lie in the first: edges as shares, refined here.
    """
    fits = False
    pixels = details = share = 0.0
    for size, steps, most_left in _LEVELS:
        template = np.asarray(_shrunk(crop, size))
        picture = _shrunk(whole, size)
        for _ in range(steps):
            box, moved = _step(picture, template, box)
            if moved < 0.02 / size:
                break
        pixels, details, share = _correlations(template, _cut(picture, box, size))
        fits = 1 - pixels <= most_left * share
        if not fits:
            break
    return Match(pixels, details, share, box, fits and details >= LEAST_DETAILS)


def _correlations(template: np.ndarray, found: np.ndarray) -> tuple[float, ...]:
    margin = round(_BORDER * len(template))
    inside = np.s_[margin:-margin, margin:-margin]
    fine = _details(template)[inside]
    pixels = _correlation(template[inside], found[inside])
    details = _correlation(fine, _details(found)[inside])
    share = float(fine.var() / max(template[inside].var(), 1e-6))
    return pixels, details, min(share, 1.0)


def _shrunk(image: Any, size: int) -> Any:
    from PIL import Image

    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BOX)


def _cut(image: Any, box: Box, size: int) -> np.ndarray:
    """Return what lies in a box, (size, size)."""
    from PIL import Image

    left, upper, right, lower = (edge * size for edge in box)
    # From the middle of an output pixel to a place in the picture.
    data = ((right - left) / size, 0, left, 0, (lower - upper) / size, upper)
    affine, how = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return np.asarray(image.transform((size, size), affine, data, how))


def _step(picture: Any, template: np.ndarray, box: Box) -> tuple[Box, float]:
    """Move and scale a box by one step of Gauss and Newton; return how far, too."""
    size = len(template)
    found = _cut(picture, box, size)
    margin = max(2, round(_BORDER * size))
    inside = np.s_[margin:-margin, margin:-margin]
    by_y, by_x = (gradient[inside] for gradient in np.gradient(found))
    scale, target = found[inside].std() + 1e-6, template[inside]
    wanted = (target - target.mean()) / (target.std() + 1e-6) * scale
    error = (wanted - (found[inside] - found[inside].mean())).reshape(-1)
    place = (np.arange(size) + 0.5)[margin:-margin] / size
    x, y = np.meshgrid(place, place)
    columns = [by_x * (1 - x), by_y * (1 - y), by_x * x, by_y * y]
    jacobian = np.stack([column.reshape(-1) for column in columns], axis=1)
    square = jacobian.T @ jacobian
    square += np.eye(4) * (1e-4 * np.trace(square) + 1e-9)
    # In pixels of the box, whose sides are shorter than those of the picture.
    wide, high = box[2] - box[0], box[3] - box[1]
    move = np.linalg.solve(square, jacobian.T @ error) / size
    move = np.clip(move, -0.05, 0.05) * (wide, high, wide, high)
    left, upper, right, lower = np.clip(np.array(box) + move, -0.02, 1.02)
    if right - left < 0.5 or lower - upper < 0.5:
        return box, 0.0
    return (float(left), float(upper), float(right), float(lower)), abs(move).max()


def _details(pixels: np.ndarray) -> np.ndarray:
    """Return what differs from the surroundings, at cells of 16 x 16."""
    from PIL import Image

    image = Image.fromarray(pixels.astype("float32"))
    small = image.resize((_CELLS, _CELLS), Image.Resampling.BOX)
    around = small.resize(image.size, Image.Resampling.BICUBIC)
    return pixels - np.asarray(around)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / length) if length > 0 else 0.0
