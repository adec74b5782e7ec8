"""What was made and compiled for a model, for the next call."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")
_KEPT: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


def kept(model: Any, key: Any, make: Callable[[], Made]) -> Made:
    """Return what `make` returned when it was asked before with this key, or now.

    It lives as long as the model, on whose layers it stands, and must not hold the
    model itself. A model that was quantized or got LoRA factors has other weights, and
    counts as another one.

    Args:
        model: what it is made for.
        key: all else that it depends on.
        make: makes it.
    """
    made = _KEPT.setdefault(model, {})
    whole = (key, tuple(id(weight) for weight in model.weights))
    if whole not in made:
        made[whole] = make()
    return made[whole]
