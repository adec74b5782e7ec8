"""Arrays under other names, still read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from keras_vit.checkpoints.entries import Arrays


class RenamedArrays(Mapping[str, np.ndarray]):
    """Arrays of a checkpoint under new names, perhaps cut or in another shape.

    Args:
        readers: by new name, what returns the array.
    """

    def __init__(self, readers: Mapping[str, Callable[[], np.ndarray]]) -> None:
        self._readers = dict(readers)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def without_prefix(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays without `prefix` before their names, if all have it."""
    if not prefix or not all(name.startswith(prefix) for name in arrays):
        return arrays
    return RenamedArrays(
        {n.removeprefix(prefix): (lambda n=n: arrays[n]) for n in arrays}
    )
