"""What each test starts from: fixed seeds, default Keras settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

# The tests check results, not speed: XLA compiles the small models three times faster
# without optimizing them. The user's own setting wins.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests.one_backend import conversions_in_this_process  # noqa: E402


@pytest.fixture(autouse=True)
def _fresh_keras() -> Iterator[None]:
    keras.utils.set_random_seed(0)
    yield
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(scope="session", autouse=True)
def _conversions() -> Iterator[None]:
    with conversions_in_this_process():
        yield


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """What drives browsers; a process can start it once only."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in each run."""
    return np.random.default_rng(0)
