"""Values of the command line that are no plain numbers or words."""

from __future__ import annotations

from argparse import ArgumentTypeError


def size(text: str) -> tuple[int, int]:
    """Read "224" or "224x320" as (height, width)."""
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise ArgumentTypeError(
            f"must be pixels as N or HxW, received {text!r}"
        ) from None


def size_or_any(text: str) -> tuple[int, int] | str:
    """Read a size, or "any"."""
    return text if text == "any" else size(text)


def batch(text: str) -> int | None:
    """Read a number of images, or "dynamic" as None."""
    if text == "dynamic":
        return None
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(
            f"must be a whole number or dynamic, received {text!r}"
        ) from None
