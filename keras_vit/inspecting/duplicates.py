"""Pictures that are there more than once: the same bytes, or the same picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from keras_vit.inspecting.alignment import SIZE, match
from keras_vit.inspecting.candidates import Candidate, candidates

Pairs = list[tuple[int, int]]
# Colour at 16 x 16 pixels, 0 to 255: a mean difference above is another picture.
_MOST_COLOUR = 16.0
_CELLS = 16
_KEPT = 1024  # pictures in memory


def equal_pairs(contents: np.ndarray) -> Pairs:
    """Return each picture that equals an earlier one, with that one.

    Args:
        contents: one number for each picture, equal for equal ones.
    """
    first: dict[int, int] = {}
    pairs = []
    for number, content in enumerate(contents.tolist()):
        if content in first:
            pairs.append((first[content], number))
        else:
            first[content] = number
    return pairs


def near_pairs(
    vectors: np.ndarray, numbers: Sequence[int], read: Callable[[int], Any]
) -> Pairs:
    """Return the pairs of pictures of which one is a copy or a crop of the other.

    Args:
        vectors: of `vectors_of`, (pictures, crops, 256).
        numbers: of these pictures, as `read` takes them.
        read: from a number to the picture, PIL, any size.
    """
    from PIL import Image

    @lru_cache(maxsize=_KEPT)
    def large(place: int) -> tuple[Any, Any]:
        colour = read(numbers[place])
        # A small one is not cut into blocks, whose edges would be details.
        is_small = min(colour.size) < SIZE
        how = Image.Resampling.BICUBIC if is_small else Image.Resampling.BOX
        grey = colour.convert("L").resize((SIZE, SIZE), how)
        return grey.convert("F"), colour.convert("RGB")

    def is_copy(pair: Candidate) -> bool:
        (whole, whole_colour), (crop, crop_colour) = large(pair.whole), large(pair.crop)
        found = match(whole, crop, pair.box)
        if not found.is_copy:
            return False
        return _colour_difference(whole_colour, crop_colour, found.box) <= _MOST_COLOUR

    found = sorted(candidates(vectors), key=lambda pair: (pair.whole, pair.crop))
    with ThreadPoolExecutor() as pool:
        verdicts = list(pool.map(is_copy, found))
    return [
        (numbers[pair.whole], numbers[pair.crop])
        for pair, same in zip(found, verdicts, strict=True)
        if same
    ]


def _colour_difference(whole: Any, crop: Any, box: tuple[float, ...]) -> float:
    """Return the mean difference of two colour pictures, one cut out of the other."""
    from PIL import Image

    edges = [min(max(edge, 0.0), 1.0) for edge in box]
    place = [e * size for e, size in zip(edges, whole.size * 2, strict=True)]
    cells, how = (_CELLS, _CELLS), Image.Resampling.BOX
    a, b = whole.resize(cells, how, box=place), crop.resize(cells, how)
    return float(np.abs(np.asarray(a, "float32") - np.asarray(b, "float32")).mean())


def groups(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Return which pictures belong together, sorted, by the pairs that do."""
    parents: dict[int, int] = {}

    def root(number: int) -> int:
        while (parent := parents.setdefault(number, number)) != number:
            number = parents[number] = parents[parent]
        return number

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parents[high] = low
    found: dict[int, list[int]] = {}
    for number in sorted(parents):
        found.setdefault(root(number), []).append(number)
    return [tuple(group) for group in found.values()]
