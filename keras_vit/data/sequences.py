"""Sequences of any library, read by position."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

_TABLE_AXES = 2


def by_position(values: Any, name: str) -> Any:
    """Return something whose item `i`, a whole number, is the value at place `i`.

    A pandas Series answers `series[i]` by its index, so that after a shuffle or a
    filter another value comes back, or none: what is paired goes through this function.

    Args:
        values: a list, tuple, generator or array of any library; a Series, an Index or
            a table of one column; an array of pixels with a first axis of pictures.
        name: what the values are, for errors.

    Returns:
        Pixels and lazy sequences as they are, numbers as a NumPy array, anything else
        as a list.

    Raises:
        TypeError: if the values have no order or are a text.
        ValueError: if a table has several columns.
    """
    if isinstance(values, (str, bytes, os.PathLike, Mapping, set, frozenset)):
        raise TypeError(
            f"{name} must be a sequence: a list, an array or a column of a table, "
            f"received {type(values).__name__}. Pass a list with the order that you "
            "mean."
        )
    if is_table(values):
        values = _only_column(values, name)
    if keras.ops.is_tensor(values):
        values = keras.ops.convert_to_numpy(values)
    if isinstance(values, (list, tuple)):
        return values
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) != 1:
        return values  # Pixels, perhaps on disk: a first axis counts pictures.
    if hasattr(values, "__array__"):
        array = np.asarray(values)
        is_number = array.dtype.kind in "biufc"
        return array if is_number else [_text(value) for value in array]
    if isinstance(values, Sequence) or _is_lazy(values):
        return values
    if isinstance(values, Iterable):
        return list(values)
    raise TypeError(
        f"{name} must be a sequence: a list, an array or a column of a table, received "
        f"{type(values).__name__}. Pass a list."
    )


def is_table(values: Any) -> bool:
    """Return whether something is a data frame, whose items are columns."""
    shape = getattr(values, "shape", None)
    return (
        hasattr(values, "columns") and shape is not None and len(shape) == _TABLE_AXES
    )


def _only_column(table: Any, name: str) -> np.ndarray:
    columns = list(table.columns)
    if len(columns) != 1:
        raise ValueError(
            f"{name} must be one column, received a table with {columns}. Pass one of "
            f"them, for example table[{columns[0] if columns else 'path'!r}]."
        )
    return np.asarray(table)[:, 0]


def _is_lazy(values: Any) -> bool:
    return hasattr(values, "__getitem__") and hasattr(values, "__len__")


def _text(value: Any) -> Any:
    # The items of an array of bytes are paths.
    return os.fsdecode(value) if isinstance(value, bytes) else value
