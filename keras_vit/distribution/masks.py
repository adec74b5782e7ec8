"""Random masks of each replica: dropout, stochastic depth and patch dropout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


def seed_offset(replica: int) -> int:
    """Return what is added to the seeds of a replica, 0 for the first one."""
    # The golden ratio times 2**32: seeds next to each other stay apart.
    return replica * 0x9E3779B1 % 2**31


def seed_states(model: keras.Model) -> list[Any]:
    """Return the states of the seed generators of a model: (seed, number of draws)."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


@contextmanager
def shifted_seeds(model: keras.Model, offset: Any) -> Iterator[None]:
    """Draw other numbers inside a `with` block, and go on from the same state after it.

    Args:
        model: whose layers draw.
        offset: what is added to their seeds, a number or a tensor; 0 changes nothing.
    """
    states = seed_states(model)
    for state in states:
        state.assign(state + _row(offset, state.dtype))
    try:
        yield
    finally:
        for state in states:
            state.assign(state - _row(offset, state.dtype))


def _row(offset: Any, dtype: str) -> Any:
    """Return (offset, 0), so that the number of draws stays."""
    unit = keras.ops.convert_to_tensor([1, 0], dtype)
    return keras.ops.cast(offset, dtype) * unit
