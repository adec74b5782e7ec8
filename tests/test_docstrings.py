from __future__ import annotations

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import keras_vit

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(keras_vit.__path__, "keras_vit.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    names = {"keras": keras, "keras_vit": keras_vit, "np": np}
    result = doctest.testmod(module, globs=names)
    assert result.failed == 0


def test_docstrings_hold_examples():
    finder = doctest.DocTestFinder()
    found = [
        example
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
    ]
    assert len(found) >= 6
