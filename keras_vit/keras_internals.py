"""What touches Keras's private names to build a model without first values.

A checkpoint's values replace the random first ones, which cost as much time to draw as
the file takes to read. `tests/test_keras_internals.py` fails if Keras changes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

_PENDING = "uninitialized_variables"  # Keras's list of variables without a value


@contextmanager
def unallocated() -> Iterator[None]:
    """Build models inside without allocating or drawing their weights.

    The weights have paths, shapes and dtypes. `initialize` gives them values;
    a model that is only looked at needs none.
    """
    pending = list(global_state.get_global_attribute(_PENDING) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Otherwise the next scope of somebody else would draw their values.
        global_state.set_global_attribute(_PENDING, pending)


def initialize(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Give each weight its first value, that of its initializer where none is given.

    Args:
        model: built inside `unallocated`.
        values: from the path of a weight to its value, in the weight's shape. Emptied,
            so that each array can be let go when it has been copied.
    """
    for variable in model.variables:
        variable: Any
        if variable._value is not None:  # Seen already, under another layer.
            continue
        if variable.path in values:
            # A copy of our own, never a view of a mapped file: backends keep it.
            value = np.array(values.pop(variable.path), dtype=_plain(variable.dtype))
            variable._initialize(keras.ops.convert_to_tensor(value, variable.dtype))
            variable._initializer = None
        else:
            variable._deferred_initialize()
    for layer in model._flatten_layers():
        layer._post_build()  # torch tracks parameters here, which it put off.


def _plain(dtype: Any) -> str:
    # numpy has no bfloat16 of its own; Keras casts float32 to it.
    return "float64" if str(dtype) == "float64" else "float32"
