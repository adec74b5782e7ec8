"""Run the processes of an engine once and keep their results for all tests."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from typing import Any

import keras
import pytest

from tests.distribution.children import run


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Give a function that returns the results of a task, which runs once."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "children"
    folder.mkdir(exist_ok=True)

    def results(task: str, count: int = 1) -> list[dict[str, Any]]:
        file = folder / f"{task}.results"
        with (folder / f"{task}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.is_file():
                file.write_text(
                    json.dumps(run(keras.backend.backend(), task, count, folder))
                )
        return json.loads(file.read_text())

    return results
