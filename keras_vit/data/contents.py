"""What a picture holds, as a number: the same in each folder and on each machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np


class Contents:
    """The contents of pictures that can be read by number.

    Args:
        read: from a number to a picture: a path, an array or a PIL image.
        count: number of pictures.
        parts: contents of the sets that these pictures are of, one after the other,
            each with their numbers in it: nothing is read twice. Default: not known.
    """

    def __init__(
        self,
        read: Callable[[int], Any],
        count: int,
        parts: Sequence[tuple[Contents, np.ndarray]] = (),
    ) -> None:
        self._read = read
        self._count = count
        self._parts = parts

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads pictures, and asks for no contents.
        return {"_read": None, "_count": 0, "_parts": ()}

    @cached_property
    def numbers(self) -> np.ndarray:
        """One number for each picture, uint64 (count,); equal for equal pictures.

        Of a file that is the hash of its bytes, so that nothing is decoded. All files
        are read once, when this is first asked for.
        """
        if self._parts:
            return np.concatenate([of.numbers[indices] for of, indices in self._parts])
        with ThreadPoolExecutor() as pool:
            hashes = pool.map(lambda i: content(self._read(i)), range(self._count))
            return np.fromiter(hashes, "uint64", self._count)


def content(picture: Any) -> int:
    """Return the first 64 bits of the hash of a file or of an array."""
    digest = hashlib.blake2b(digest_size=8)
    if isinstance(picture, (str, Path)):
        with open(Path(picture).expanduser(), "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    elif hasattr(picture, "opened"):  # A file in an archive.
        with picture.opened() as file:
            digest.update(file.read())
    else:
        pixels = np.ascontiguousarray(np.asarray(picture))
        digest.update(f"{pixels.dtype} {pixels.shape}".encode())
        digest.update(pixels.tobytes())
    return int.from_bytes(digest.digest(), "big")


def drawn(contents: np.ndarray, seed: int) -> np.ndarray:
    """Return a random number for each picture, uint64, that follows from its content.

    A picture keeps its number when others come or go, and equal ones have the same.
    """
    # splitmix64: each bit of the result depends on each bit of content and seed.
    with np.errstate(over="ignore"):
        x = contents.astype("uint64") + np.uint64(seed + 1) * np.uint64(
            0x9E3779B97F4A7C15
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
