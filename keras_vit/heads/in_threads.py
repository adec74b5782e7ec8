"""Several fits at once, each on one processor core."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def in_threads(jobs: Iterable[Callable[[], T]]) -> list[T]:
    """Run jobs of linear algebra side by side and return what they return, in order.

    A matrix product of a fit is too small to share: with two threads of BLAS fits took
    three to seven times as long as with one. So each job has one, and the jobs share
    the cores.
    """
    with _controller().limit(limits=1, user_api="blas"):
        with ThreadPoolExecutor(_num_cores()) as pool:
            return list(pool.map(lambda job: job(), jobs))


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # A container or a batch system may allow few.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _controller() -> Any:
    import scipy.linalg.blas  # noqa: F401  What is not loaded could not be limited.
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def check_packages() -> None:
    """Refuse to begin where a package that fits heads is missing.

    Raises:
        ImportError: with the command that installs it.
    """
    try:
        import scipy.optimize  # noqa: F401
        import threadpoolctl  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "SciPy and threadpoolctl are needed to fit a head, which also finds wrong "
            "labels. Install them with pip install 'keras3-vit[head]'."
        ) from error
