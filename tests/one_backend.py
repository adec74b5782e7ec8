"""Tests of conversions: they run once, and where TensorFlow is at hand, in it."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import pytest

from keras_vit.export import child

BACKEND = "tensorflow"

# TensorFlow, because most formats are converted under it. That each backend reaches the
# child is what tests/export/test_export.py and test_formats.py show.
ONE_BACKEND = pytest.mark.skipif(
    keras.backend.backend() != BACKEND,
    reason="the same conversion serves each backend; runs on TensorFlow",
)


@contextmanager
def conversions_in_this_process() -> Iterator[None]:
    """Convert under TensorFlow without a new process, which would import it anew.

    That takes longer than to convert a tiny model. `child.start` itself is tested by
    tests/export/test_child.py, and used by the other backends.
    """
    own = child.start

    def start(command: list[str], what: str, backend: str, *rest: Any) -> None:
        if "keras_vit.export.converters" not in command or backend != BACKEND:
            return own(command, what, backend, *rest)
        job = json.loads(Path(command[-1]).read_text(encoding="utf-8"))
        module = f"keras_vit.export.converters.{job['converter']}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Nobody sees those of a child.
                importlib.import_module(module).convert(job)
        except Exception as error:
            raise RuntimeError(
                f"{what} failed and nothing was written: {error}"
            ) from error
        return None

    with pytest.MonkeyPatch.context() as patch:
        if keras.backend.backend() == BACKEND:
            patch.setattr(child, "start", start)
        yield
