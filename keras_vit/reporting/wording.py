"""How numbers are written in a report."""

from __future__ import annotations

from keras_vit.intervals import wilson_interval


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share such as 0.953 as "95.3%"; None as a dash."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def between(share: float, count: int) -> str:
    """Return the 95 % interval of a share of `count` images in words."""
    low, high = wilson_interval(share, count)
    return f"{percent(low)} to {percent(high)}"


def signed(value: float, digits: int = 0) -> str:
    """Return a difference with its sign, such as "+1.5" or "−0.3"."""
    return f"{value:+,.{digits}f}".replace("-", "−")


def number_of(count: int, word: str, plural: str | None = None) -> str:
    """Return a number with its word, such as "1 picture", "2,000 pictures"."""
    return f"{count:,} {word if count == 1 else plural or word + 's'}"


def shorter(text: str, most: int = 24) -> str:
    """Return a text, its middle left out where it is long."""
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"
