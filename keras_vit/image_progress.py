"""How far a pass over pictures is: images per second and the time left."""

from __future__ import annotations

import sys
import time
from typing import Any

_SECONDS_ON_A_SCREEN = 0.2
_SECONDS_IN_A_LOG = 15.0


class ImageProgress:
    """Tell how many pictures are done, how fast, and how long the rest takes.

    One line that changes where somebody watches, a line every 15 seconds in a log.

    Args:
        total: number of pictures.
        done: how many were there before. Default 0.
        verbose: whether to tell anything. Default True.
        stream: where to. Default: the errors, so that results stay apart.
    """

    def __init__(
        self, total: int, done: int = 0, *, verbose: bool = True, stream: Any = None
    ) -> None:
        self.total = total
        self.done = done
        self._stream = sys.stderr if stream is None else stream
        self._verbose = verbose
        self._is_watched = bool(getattr(self._stream, "isatty", bool)())
        self._started: float | None = None
        self._first = 0
        self._told = self._begun = time.perf_counter()
        self._count = 0

    @property
    def images_per_second(self) -> float | None:
        """Mean since the first pictures, which take longer; None before."""
        if self._started is None or self._count == self._first:
            return None
        return (self._count - self._first) / (time.perf_counter() - self._started)

    def add(self, count: int) -> None:
        """Count pictures that are done."""
        self.done += count
        self._count += count
        now = time.perf_counter()
        if self._started is None:
            self._started, self._first = now, self._count
        seconds = _SECONDS_ON_A_SCREEN if self._is_watched else _SECONDS_IN_A_LOG
        if self._verbose and now - self._told >= seconds and self.done < self.total:
            self._told = now
            self._say(self.text())

    def text(self) -> str:
        """Return where the work is, in words."""
        speed = self.images_per_second
        text = f"{self.done:,} of {self.total:,} pictures"
        if speed is None:
            return text
        left = (self.total - self.done) / speed
        return f"{text}, {speed:.0f} per second, {duration(left)} left"

    def close(self) -> None:
        """Tell what was done in all."""
        if self._verbose and self._count:
            seconds = time.perf_counter() - self._begun
            count, speed = self._count, self._count / seconds
            text = f"{count:,} pictures in {seconds:.1f} s, {speed:.0f} per second"
            self._say(text, end="\n")

    def _say(self, text: str, end: str = "") -> None:
        if self._is_watched:
            self._stream.write(f"\r\033[K{text}{end}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """Return a length of time in words, such as "about 12 min"."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
