"""Values that threads make ahead while the model computes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def spare_cores() -> int:
    """Return how many threads make values ahead by default: one core stays free."""
    return max(2, min(8, (os.cpu_count() or 1) - 1))


def made_ahead(
    make: Callable[[Any], Any], inputs: Iterable[Any], threads: int
) -> Generator[Any, None, None]:
    """Yield `make` of each input, in order, while threads make the next ones.

    Args:
        make: from an input to a value; called in several threads at a time.
        inputs: read in the caller's thread, a few ahead of what was yielded.
        threads: that make values, at least 1.
    """
    ahead: list[Future[Any]] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for value in inputs:
            ahead.append(pool.submit(make, value))
            if len(ahead) > threads + 1:
                yield ahead.pop(0).result()
        while ahead:
            yield ahead.pop(0).result()
    finally:
        pool.shutdown(cancel_futures=True)


class PrefetchedBatches:
    """The batches of one pass, made ahead and taken one by one, from any thread.

    Args:
        make: from the number of a batch to the batch.
        numbers: of the batches of the pass.
        threads: that make batches, at least 1.

    Attributes:
        taken: how many batches have been taken.
    """

    def __init__(
        self, make: Callable[[int], Any], numbers: range, threads: int
    ) -> None:
        self.taken = 0
        self._numbers = numbers
        self._batches = made_ahead(make, numbers, threads)
        # tf.data takes batches in a thread of its own, also while a pass is closed.
        self._lock = threading.Lock()

    @property
    def is_finished(self) -> bool:
        """Whether all batches have been taken."""
        return self.taken == len(self._numbers)

    def take(self) -> Any:
        """Return the next batch.

        Raises:
            IndexError: if there is none left.
        """
        with self._lock:
            for batch in self._batches:
                self.taken += 1
                return batch
        raise IndexError(f"A pass has {len(self._numbers)} batches, all are taken.")

    def close(self) -> None:
        """Stop the threads; what they have made is dropped."""
        with self._lock:
            self._batches.close()
