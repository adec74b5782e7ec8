"""One pass over a set of batches, made ahead while the model computes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Pass:
    """Batches that threads make ahead, and that are taken in their order.

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
        self._batches = _ahead(make, numbers, threads)
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


def _ahead(
    make: Callable[[int], Any], numbers: range, threads: int
) -> Generator[Any, None, None]:
    """Yield the batches with these numbers while threads make the next ones."""
    ahead: list[Future[Any]] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for number in numbers:
            ahead.append(pool.submit(make, number))
            if len(ahead) > threads + 1:
                yield ahead.pop(0).result()
        while ahead:
            yield ahead.pop(0).result()
    finally:
        pool.shutdown(cancel_futures=True)
