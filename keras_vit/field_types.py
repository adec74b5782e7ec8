"""Types of dataclass fields that take several forms and keep one.

`Preprocessing(image_size=224)` keeps (224, 224). A type checker reads these types as
descriptors, which take one type and give another. Nothing of this exists at run time:
annotations are not evaluated, and each class converts what it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    Taken = TypeVar("Taken", contravariant=True)
    Kept = TypeVar("Kept", covariant=True)

    class Field(Generic[Taken, Kept]):
        """A field that takes one type and gives another."""

        @overload
        def __get__(self, owner: None, kind: type) -> Any: ...
        @overload
        def __get__(self, owner: object, kind: type) -> Kept: ...
        def __get__(self, owner: Any, kind: type) -> Any: ...
        def __set__(self, owner: object, value: Taken) -> None: ...

    Pixels = int | Sequence[int]
    # One number for both, or (height, width).
    Size = Field[Pixels, tuple[int, int]]
    SizeOrNone = Field[Pixels | None, tuple[int, int] | None]
    # One number for all channels, or one for each.
    Floats = Field[float | Sequence[float], tuple[float, ...]]
