"""Pictures kept in memory or on disk after they were decoded."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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
