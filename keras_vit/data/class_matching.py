"""Which class of a model each class of a data set is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_numbers(
    own: Sequence[str] | None, names: Sequence[str], where: str = "the data"
) -> np.ndarray:
    """Return the number that each class of a data set has in a model, int64 (classes,).

    Classes are matched by name where the model has names; else they are the same.

    Args:
        own: class names of the model, or None.
        names: class names of the data: some or all of those, in any order.
        where: what the data is, for errors.

    Raises:
        ValueError: if the data has a class that the model does not know.
    """
    if not own:
        return np.arange(len(names))
    numbers = {name: number for number, name in enumerate(own)}
    unknown = [name for name in names if name not in numbers]
    if unknown:
        raise ValueError(
            f"The classes of {where} must be classes of the model, received "
            f"{_short(unknown)} that are none of {_short(own)}. Pass data of the same "
            "classes, or rename its classes (folders, class_names)."
        )
    return np.array([numbers[name] for name in names], dtype="int64")


def _short(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:5]))
    return f"[{listed}{', ...' if len(names) > 5 else ''}] ({len(names)})"
