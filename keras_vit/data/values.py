"""Which values the pictures of a set hold: decided once for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLED = 64  # pictures of a set that are looked at


@dataclass(frozen=True, kw_only=True)
class PixelValues:
    """The values of the arrays of a set, by a sample of it.

    Args:
        dtype: of the arrays; "mixed" if they differ.
        low: the lowest value.
        high: the highest.
    """

    dtype: str
    low: float
    high: float

    @property
    def is_unit(self) -> bool:
        """Whether these are numbers between 0 and 1, and not all 0."""
        is_float = self.dtype.startswith(("float", "bfloat")) or self.dtype == "mixed"
        return is_float and self.low >= 0 and 0 < self.high <= 1

    def text(self) -> str:
        """Return them in words."""
        return f"{self.dtype} values from {self.low:g} to {self.high:g}"


def values_of(pictures: Iterable[Any]) -> PixelValues | None:
    """Return which values the arrays among some pictures hold; None without arrays."""
    arrays = [np.asarray(x) for x in pictures if hasattr(x, "shape")]
    arrays = [x for x in arrays if x.size and x.dtype.kind in "fiub"]
    if not arrays:
        return None
    kinds = {str(array.dtype) for array in arrays}
    return PixelValues(
        dtype=kinds.pop() if len(kinds) == 1 else "mixed",
        low=float(min(array.min() for array in arrays)),
        high=float(max(array.max() for array in arrays)),
    )
