"""Tests that run once: conversions under TensorFlow, what no backend sees on torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import pytest

from keras_vit.exporting import child_process
from keras_vit.exporting.conversion import read_job
from keras_vit.exporting.convert_in_child import convert_job

BACKEND = "tensorflow"

# TensorFlow, because most formats are converted under it. That each backend reaches the
# child is what tests/exporting/test_export.py and test_formats.py show.
ONE_BACKEND = pytest.mark.skipif(
    keras.backend.backend() != BACKEND,
    reason="the same conversion serves each backend; runs on TensorFlow",
)

# Torch, whose part of the suite is the shortest.
NO_BACKEND = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="no backend takes part in it; runs on torch",
)


@contextmanager
def conversions_in_this_process() -> Iterator[None]:
    """Convert under TensorFlow without a new process, which would import it anew.

    That takes longer than to convert a tiny model. `child_process.start` itself is
    tested by tests/exporting/test_child_process.py, and used by the other backends.
    """
    own = child_process.start

    def start(command: list[str], what: str, backend: str, *rest: Any) -> None:
        if "keras_vit.exporting.convert_in_child" not in command or backend != BACKEND:
            return own(command, what, backend, *rest)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Nobody sees those of a child.
                convert_job(read_job(command[-1]))
        except Exception as error:
            raise RuntimeError(
                f"{what} failed and nothing was written: {error}"
            ) from error
        return None

    with pytest.MonkeyPatch.context() as patch:
        if keras.backend.backend() == BACKEND:
            patch.setattr(child_process, "start", start)
        yield
