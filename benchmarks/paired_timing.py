"""Time two functions side by side, so that a busy machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

Step = Callable[[], object]


def paired_times(first: Step, second: Step, rounds: int) -> np.ndarray:
    """Return seconds, (rounds, 2); who runs first alternates from round to round."""
    steps = (first, second)
    for step in steps * 2:  # Compiles, then warms up.
        step()
    times = np.zeros((rounds, 2))
    for i in range(rounds):
        for j in (0, 1) if i % 2 == 0 else (1, 0):
            start = time.perf_counter()
            steps[j]()
            times[i, j] = time.perf_counter() - start
    return times


def describe(times: np.ndarray) -> str:
    """Return table cells: median ms of both, median and quartiles of second / first."""
    first, second = np.median(times, axis=0) * 1e3
    low, ratio, high = np.percentile(times[:, 1] / times[:, 0], (25, 50, 75))
    return f"{first:.1f} | {second:.1f} | {ratio:.3f} | {low:.3f} to {high:.3f}"
