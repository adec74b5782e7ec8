"""Which pictures may be near duplicates: cheap, and rather too many than too few.

Each picture becomes a few vectors: what it looks like at 16 x 16 pixels, as a whole and
cropped. If one picture is a crop of another, the vector of the whole one resembles that
of a crop of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

CELLS = 16
# Share of the width and height that a crop keeps, and where it lies: 0 left, 1 right.
_CORNERS = tuple((x, y) for x in (0, 1) for y in (0, 1))
_GRID = tuple((x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1))
CROPS = (
    (1.0, 0.5, 0.5),
    *((0.95, x, y) for x, y in ((0.5, 0.5), *_CORNERS)),
    *((0.9, x, y) for x, y in _GRID),
    *((0.85, x, y) for x, y in _GRID),
)
# Chance pairs of noise stay below, crops between those above are above.
LEAST = 0.45
MOST_PER_PICTURE = 3
_BLOCK = 2048


@dataclass(frozen=True)
class Candidate:
    """Two pictures of which the second may be a crop of the first.

    Args:
        whole: number of the first.
        crop: number of the second, or of a copy of the whole.
        box: left, upper, right and lower edge of the crop, as shares of the first.
        resemblance: correlation at 16 x 16 pixels, up to 1.
    """

    whole: int
    crop: int
    box: tuple[float, float, float, float]
    resemblance: float


def box_of(keeps: float, x: float, y: float) -> tuple[float, float, float, float]:
    """Return the edges of a crop as shares of the picture."""
    left, upper = x * (1 - keeps), y * (1 - keeps)
    return left, upper, left + keeps, upper + keeps


def vectors_of(image: Any) -> np.ndarray:
    """Return the vectors of a grey PIL image, float32 (crops, 256), of length 1.

    A picture of one colour has zeros.
    """
    from PIL import Image

    found = []
    for keeps, x, y in CROPS:
        box = [
            edge * size
            for edge, size in zip(box_of(keeps, x, y), image.size * 2, strict=True)
        ]
        small = image.resize((CELLS, CELLS), Image.Resampling.BOX, box=box)
        found.append(np.asarray(small, "float32").reshape(-1))
    values = np.stack(found)
    values -= values.mean(1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(length > CELLS, values / np.maximum(length, 1e-6), 0)


def candidates(vectors: np.ndarray) -> list[Candidate]:
    """Return the pairs that resemble each other, for each picture the best few.

    Args:
        vectors: of `vectors_of`, (pictures, crops, 256).
    """
    # In half precision they take half the memory, but products take for ever.
    whole = np.ascontiguousarray(vectors[:, 0], "float32")
    best: dict[tuple[int, int], Candidate] = {}
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        for candidate in _of_block(block, whole, start):
            pair = (
                min(candidate.whole, candidate.crop),
                max(candidate.whole, candidate.crop),
            )
            known = best.get(pair)
            if known is None or known.resemblance < candidate.resemblance:
                best[pair] = candidate
    return list(best.values())


def _of_block(block: np.ndarray, whole: np.ndarray, start: int) -> Iterator[Candidate]:
    """Yield the candidates whose whole picture is in a block."""
    scores = np.full((len(block), len(whole)), -1, "float32")
    which = np.zeros(scores.shape, "int8")
    for number in range(block.shape[1]):
        found = block[:, number].astype("float32") @ whole.T
        better = found > scores
        scores[better], which[better] = found[better], number
    rows = np.arange(len(block))
    scores[rows, rows + start] = -1
    count = min(MOST_PER_PICTURE, len(whole))
    for axis in (0, 1):
        # The best few for each picture as the whole one, then as the crop.
        top = np.argpartition(-scores, count - 1, axis=1 - axis)
        top = top[:, :count] if axis == 0 else top[:count]
        others = rows[:, None] if axis == 0 else np.arange(len(whole))[None]
        pairs = np.broadcast_arrays(*((others, top) if axis == 0 else (top, others)))
        for i, j in zip(*(pair.reshape(-1) for pair in pairs), strict=True):
            if scores[i, j] >= LEAST:
                box = box_of(*CROPS[which[i, j]])
                yield Candidate(int(i + start), int(j), box, float(scores[i, j]))
