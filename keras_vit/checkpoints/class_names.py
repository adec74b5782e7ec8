"""The names of the classes, as the configurations of other libraries hold them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any


def class_names(
    names: Any, num_classes: int | None, source: str
) -> tuple[str, ...] | None:
    """Return one name per class in the order of the classes; None if there are none.

    Names that are there and cannot be used are said.

    Args:
        names: a list in the order of the classes; or a JSON object, from the number of
            a class to its name, or from its name to its number.
        num_classes: of the classifier; None without one.
        source: for messages.
    """
    if not names or not num_classes:
        return None
    found = _by_number(names, num_classes)
    if found is None:
        warnings.warn(
            f"The class names of {source!r} must be one for each number from 0 to "
            f"{num_classes - 1}, received {_described(names)}. They are left out; set "
            "model.class_names yourself.",
            stacklevel=2,
        )
        return None
    ordered = tuple(str(found[i]) for i in range(num_classes))
    if all(name == f"LABEL_{i}" for i, name in enumerate(ordered)):
        return None  # What transformers writes if there are none.
    return ordered


def _by_number(names: Any, num_classes: int) -> dict[Any, Any] | None:
    """Return the names by number, None unless each class has one."""
    ways: list[dict[Any, Any]] = []
    if isinstance(names, Mapping):
        ways.append({_number(key): name for key, name in names.items()})
        ways.append({_number(value): name for name, value in names.items()})
    elif isinstance(names, Sequence) and not isinstance(names, str):
        ways.append(dict(enumerate(names)))
    wanted = set(range(num_classes))
    for way in ways:
        if way.keys() == wanted and len(names) == num_classes:
            return way
    return None


def _number(value: Any) -> int | None:
    """Return the number that a JSON key or value stands for, None if it is none."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() else None
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole else None


def _described(names: Any) -> str:
    if isinstance(names, Mapping):
        return f"{len(names)} with the keys {[*names][:4]}, ..."
    if isinstance(names, Sequence) and not isinstance(names, str):
        return f"{len(names)} names"
    return f"a {type(names).__name__}"
