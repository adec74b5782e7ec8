"""Pictures kept in memory or on disk after they were decoded."""

from __future__ import annotations

import hashlib
import math
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vit.data.batch_options import BatchOptions

if TYPE_CHECKING:
    from keras_vit.data.images import Images

Make = Callable[[int], np.ndarray]

CACHE_BYTES = 256 * 2**20


class MemoryCache:
    """Pictures by number, in this process."""

    def __init__(self) -> None:
        self._pictures: dict[int, np.ndarray] = {}

    def get(self, number: int, make: Make) -> np.ndarray:
        """Return picture `number`, made if it is not there yet."""
        pixels = self._pictures.get(number)
        if pixels is None:
            pixels = self._pictures[number] = make(number)
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        return {"_pictures": {}}  # Another process fills its own.


class DiskCache:
    """Pictures by number, one `.npy` file each, for all processes and later runs.

    Args:
        folder: where; a sub-folder is made for each `identity`.
        identity: of the pictures and of what was done to them: another identity shares
            nothing.
    """

    def __init__(self, folder: str | Path, identity: str) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        self.folder = Path(folder).expanduser() / digest
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, number: int, make: Make) -> np.ndarray:
        """Return picture `number`, made and written if it is not there yet."""
        # A thousand files to a folder.
        path = self.folder / str(number // 1000) / f"{number}.npy"
        try:
            return np.load(path)
        except FileNotFoundError:
            pass
        except (ValueError, EOFError, OSError):
            path.unlink(missing_ok=True)  # Damaged: made again.
        pixels = make(number)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
        with temporary.open("wb") as file:
            np.save(file, pixels)
        os.replace(temporary, path)
        return pixels


class NoCache:
    """Pictures made anew each time."""

    def get(self, number: int, make: Make) -> np.ndarray:
        """Return picture `number`."""
        return make(number)


Cache = MemoryCache | DiskCache | NoCache


def open_cache(images: Images, options: BatchOptions) -> Cache:
    """Return the cache of a set of images: what `options.cache` asks for.

    Random crops are new each time, so that only whole pictures could be kept, and those
    only on disk.
    """
    crops = options.augmentation is not None and options.augmentation.crops
    preprocessing, wanted = options.preprocessing, options.cache
    if isinstance(wanted, (str, Path)):
        kind = "whole" if crops else "resized"
        # A picture is kept under its number.
        numbers = hashlib.sha256(images.indices.tobytes()).hexdigest()
        what = f"{images.fingerprint} {numbers} {preprocessing}"
        return DiskCache(wanted, f"{kind} {what}")
    if wanted is None:
        wanted = len(images) * math.prod(options.image_shape) <= CACHE_BYTES
    return MemoryCache() if wanted and not crops else NoCache()
