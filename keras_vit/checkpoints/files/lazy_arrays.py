"""Arrays that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

Readers = dict[str, Callable[[], np.ndarray]]


class LazyArrays(Mapping[str, np.ndarray]):
    """Arrays by name, each read when it is asked for, perhaps cut or in another shape.

    Args:
        readers: by name, what returns the array.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers = dict(readers)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)
