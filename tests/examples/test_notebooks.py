"""The notebooks run, and each is the same as its .py file."""

from __future__ import annotations

import csv
import json

import keras
import pytest

from tests.examples.notebooks import CLASSES, FOLDER, KAGGLE, cells, execute, sources
from tests.one_backend import BACKEND, NO_BACKEND

LARGEST = 300_000  # bytes of an .ipynb
# TensorFlow runs all. Elsewhere those run in which the backend decides what happens:
# the engines of several devices, and JAX on the accelerators of Kaggle.
ELSEWHERE = {"jax": ("3_kaggle", "6_several_devices"), "torch": ("6_several_devices",)}
SOURCES = {source.stem: source for source in sources()}
HERE = [
    name
    for name in SOURCES
    if keras.backend.backend() == BACKEND
    or name in ELSEWHERE.get(keras.backend.backend(), ())
]


@NO_BACKEND
@pytest.mark.parametrize("name", SOURCES)
def test_a_notebook_is_its_source(name):
    import jupytext

    written = SOURCES[name].with_suffix(".ipynb")
    notebook = jupytext.read(written)
    # Else: python tools/build_notebooks.py NAME
    assert cells(notebook) == cells(jupytext.read(SOURCES[name]))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert written.stat().st_size < LARGEST


@NO_BACKEND
def test_each_notebook_has_a_source():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(SOURCES)
    assert len(SOURCES) == 7


@pytest.mark.parametrize("name", [name for name in HERE if name != KAGGLE])
def test_a_notebook_runs(name, tmp_path):
    execute(SOURCES[name], tmp_path)  # raises what a cell raises


@pytest.mark.skipif(KAGGLE not in HERE, reason="on TensorFlow and JAX")
def test_kaggle_is_acted_out(tmp_path):
    execute(SOURCES[KAGGLE], tmp_path)
    kaggle = tmp_path / "kaggle"
    inputs = kaggle / "input" / "competitions" / "digits"
    header, *rows = read(kaggle / "working" / "submission.csv")
    sample = read(inputs / "sample_submission.csv")
    assert [header, *(row[0] for row in rows)] == [
        sample[0],
        *(r[0] for r in sample[1:]),
    ]
    for row in rows:
        assert sum(map(float, row[1:])) == pytest.approx(1, abs=1e-5)
    # What was imported is the wheel of the input, in the environment of the notebook.
    installed = tmp_path / "environment" / "lib"
    assert len([*installed.glob("python*/site-packages/keras_vit/model.py")]) == 1
    assert tuple(header[1:]) == CLASSES


@NO_BACKEND
def test_what_kaggle_is_told():
    told = json.loads((FOLDER / "kernel-metadata.json").read_text())
    assert set(told) == {
        *("id", "title", "code_file", "language", "kernel_type", "is_private"),
        *("enable_gpu", "enable_tpu", "enable_internet", "dataset_sources"),
        *("competition_sources", "kernel_sources", "model_sources"),
    }
    # Kaggle makes the name in the address from the title.
    assert told["id"].partition("/")[2] == told["title"].lower().replace(" ", "-")
    assert (FOLDER / told["code_file"]).is_file()
    assert told["enable_internet"] is False


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))
