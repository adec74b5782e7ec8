"""The notebooks run, and each is the same as its .py file."""

from __future__ import annotations

import keras
import pytest

from tests.examples.notebooks import cells, execute, small_weights, sources
from tests.one_backend import BACKEND, NO_BACKEND

LARGEST = 300_000  # bytes of an .ipynb
# TensorFlow runs all. Elsewhere those run in which the backend decides what happens:
# the engines of several devices, and JAX on the accelerators of Kaggle.
ELSEWHERE = {"jax": ("3_kaggle", "6_several_devices"), "torch": ("6_several_devices",)}
SOURCES = {source.stem: source for source in sources()}
HERE = [
    name
    for name in SOURCES
    if name in ELSEWHERE.get(keras.backend.backend(), ())
    or BACKEND == keras.backend.backend()
]


@NO_BACKEND
@pytest.mark.parametrize("name", SOURCES)
def test_a_notebook_is_its_source(name):
    import jupytext

    written = SOURCES[name].with_suffix(".ipynb")
    notebook = jupytext.read(written)
    assert cells(notebook) == cells(jupytext.read(SOURCES[name]))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert written.stat().st_size < LARGEST


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint in the shape of DINOv2, which the hub gives under its name."""
    return small_weights(tmp_path_factory.mktemp("weights") / "dinov2")


@pytest.mark.parametrize("name", [name for name in HERE if name != "3_kaggle"])
def test_a_notebook_runs(name, weights, tmp_path):
    # Raises what a cell raises.
    execute(SOURCES[name], tmp_path, weights=weights)
