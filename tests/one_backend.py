"""A mark for tests whose work is done by a process of its own."""

from __future__ import annotations

import keras
import pytest

# JAX, because nothing else then imports TensorFlow in the parent. That each backend
# reaches the child is what tests/export/test_export.py and test_formats.py show.
ONE_BACKEND = pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="the same process does the work for each backend; runs on JAX",
)
