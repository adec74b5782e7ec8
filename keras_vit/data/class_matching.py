"""Which class of a model each class of a data set is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Name of the output of a model for pictures of none of its classes.
NONE_OF_THESE = "none of these"


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


def rejecting_output(own: Sequence[str], numbers: np.ndarray) -> int | None:
    """Return the number of the output "none of these" of a model; None for none.

    It is the last one that has this name, unless the data has a class of this name.

    Args:
        own: class names of the model.
        numbers: that the classes of the data have in it.
    """
    last = len(own) - 1
    is_there = last > 0 and own[last] == NONE_OF_THESE and last not in numbers
    return last if is_there else None


def _short(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:5]))
    return f"[{listed}{', ...' if len(names) > 5 else ''}] ({len(names)})"
