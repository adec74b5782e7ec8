"""Each public name has an example in its docstring, and it gives what it says.

Examples are written in one of two forms. Those with `>>>` are doctests, which
tests/test_docstrings.py runs on each backend. Those in a block of ```python are what a
reader copies; they run here, in a folder with pictures and a trained model. A comment
behind an expression, or in the lines right below it, is what it gives or prints, where
... stands for anything; behind a statement it is a remark.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import functools
import inspect
import io
import re
import shutil
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

import griffe
import huggingface_hub
import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.web import demo
from tests.one_backend import BACKEND, conversions_in_this_process
from tests.site.stand_ins import enter, prepare

PARTS = ("keras_vit", "keras_vit.layers", "keras_vit.training")
CHEAP = "keras_vit.layers."  # These run on each backend.
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FORMS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public_names():
    found = {}
    for part in PARTS:
        package = functools.reduce(getattr, part.split(".")[1:], keras_vit)
        for name in package.__all__:
            found.setdefault(id(getattr(package, name)), f"{part}.{name}")
    return sorted(found.values())


def value_of(path):
    return functools.reduce(getattr, path.split(".")[1:], keras_vit)


@functools.cache
def source():
    place = Path(keras_vit.__file__).parents[1]  # Installed, or of this repository.
    return griffe.load("keras_vit", search_paths=[place], resolve_aliases=True)


def docstring_of(path):
    """Return the docstring; of a constant the text below it, as the site shows it."""
    value = value_of(path)
    if isinstance(value, Mapping):
        found = source()[path.removeprefix("keras_vit.")].docstring
        return found.value if found else ""
    assert not inspect.isclass(value) or "__doc__" in vars(value)  # None is inherited.
    return inspect.getdoc(value)


def statements(block):
    """Yield each statement of a block, and what it says that it gives."""
    lines = block.splitlines()
    for node in ast.parse(block).body:
        rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
        said = [rest] if rest.strip() else []
        for line in lines[node.end_lineno :]:
            if not line.startswith("# "):
                break
            said.append(line)
        is_result = isinstance(node, ast.Expr)
        text = "\n".join(line.strip().lstrip("#").strip() for line in said)
        yield node, text if is_result else ""


def run(block, names):
    """Run a block and compare what it gives with what it says."""
    for node, said in statements(block):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if isinstance(node, ast.Expr):
                code = compile(ast.Expression(node.value), "<example>", "eval")
                value = eval(code, names)
                if value is not None:
                    print(repr(value))
            else:
                exec(compile(ast.Module([node], []), "<example>", "exec"), names)
        if said:
            given = printed.getvalue()
            same = doctest.OutputChecker().check_output(f"{said}\n", given, FORMS)
            assert same, f"{ast.unparse(node)}\nsays  {said!r}\ngives {given!r}"


def uses(code, name):
    tree = ast.parse(code)
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    dotted = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return name in named | dotted


def holds(value, kind):
    """Whether something is of a class, or a list of lists of such things."""
    if isinstance(value, (list, tuple)):
        return any(holds(one, kind) for one in value)
    return isinstance(value, kind)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch, folder, with_run=True)
        if keras.backend.backend() != BACKEND:
            return folder
        with conversions_in_this_process():
            model = keras_vit.load("saved_models/photos")
            keras_vit.export(model, "photos.tflite", report=False)
    return folder


@pytest.fixture
def without_network(monkeypatch):
    """A hub that takes what is pushed, and no browser runtime from npm."""

    class Api:
        def __init__(self, token=None): ...

        def create_repo(self, repo_id, **options): ...

        def upload_folder(self, repo_id, folder_path, **options):
            assert list(folder_path.iterdir())
            address = f"https://huggingface.co/{repo_id}/commit/0"
            return type("Commit", (), {"commit_url": address})()

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(demo, "write_runtime", Path.mkdir)


@pytest.mark.parametrize("path", public_names())
def test_each_public_name_has_an_example_that_runs(
    path, template, tmp_path, monkeypatch, without_network
):
    text, name = docstring_of(path), path.rpartition(".")[2]
    blocks = [textwrap.dedent(block) for block in BLOCK.findall(text)]
    if not blocks:
        examples = doctest.DocTestParser().get_examples(text)
        said = f"The docstring of {path} has no example with {name}."
        assert uses("".join(example.source for example in examples), name), said
        return
    assert any(said for block in blocks for _, said in statements(block)), (
        "The example says nothing of what it gives."
    )
    if keras.backend.backend() != BACKEND and not path.startswith(CHEAP):
        return
    folder = shutil.copytree(template, tmp_path / "folder")
    enter(monkeypatch, folder)
    names = {"keras": keras, "keras_vit": keras_vit, "np": np}
    with conversions_in_this_process(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in blocks:
            run(block, names)
    kind = value_of(path)
    made = inspect.isclass(kind) and holds(list(names.values()), kind)
    assert made or any(uses(block, name) for block in blocks)


def test_an_example_that_says_something_else_fails():
    run("1 + 1  # 2\nprint('a line')\n# a ...\n", {})
    with pytest.raises(AssertionError, match="gives '2"):
        run("1 + 1  # 3\n", {})
    with pytest.raises(AssertionError, match="says  'b'"):
        run("print('a')\n# b\n", {})
