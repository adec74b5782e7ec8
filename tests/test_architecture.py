from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_vit
from tests.one_backend import NO_BACKEND

pytestmark = NO_BACKEND

PACKAGE = Path(keras_vit.__file__).parent
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"
EVERYTHING = {"__init__", "__main__", "cli"}


def read_table() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return what each module may import of ours and of others, from the map."""
    text = DOCUMENT.read_text()
    own, others = {}, {}
    for line in text[text.index("| module | may") :].splitlines()[2:]:
        if not line.startswith("|"):
            break
        modules, ours, third_parties = line.strip("|").split("|")
        for name in re.findall(r"`([^`]+)`", modules):
            own[name] = set(re.findall(r"`([^`]+)`", ours))
            others[name] = set(re.findall(r"\w+", third_parties))
    return own, others


# Which modules of ours a module may import, by its longest name found here, and which
# third parties at its top. A package stands for all that is in it.
MAY_IMPORT, THIRD_PARTY = read_table()

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def rule(name: str, table: dict[str, set[str]]) -> set[str] | None:
    """Return the row of the table for a module: the longest name that fits."""
    while name not in table:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return table[name]


def imports(
    path: Path, *, in_functions: bool = True, for_types: bool = True
) -> Iterator[str]:
    """Yield the full names of the modules that a file imports."""
    for node in _nodes(ast.parse(path.read_text()), in_functions, for_types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = full.removeprefix("keras_vit.") in MODULES
                yield full if is_module else str(node.module)


def _nodes(node: ast.AST, in_functions: bool, for_types: bool) -> Iterator[ast.AST]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, functions) and not in_functions:
            continue
        is_if = isinstance(child, ast.If)
        if is_if and "TYPE_CHECKING" in ast.unparse(child.test) and not for_types:
            continue
        yield child
        yield from _nodes(child, in_functions, for_types)


def own_imports(path: Path, **options: bool) -> set[str]:
    """Return what a file imports of keras_vit, without that prefix."""
    found = imports(path, **options)
    return {
        name.removeprefix("keras_vit.")
        for name in found
        if name.split(".")[0] == "keras_vit"
    }


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_only_what_the_table_allows(module):
    if module.split(".")[0] in EVERYTHING:
        return
    allowed = rule(module, MAY_IMPORT)
    assert allowed is not None, f"{module} is missing in MAY_IMPORT"
    forbidden = {
        name
        for name in own_imports(MODULES[module])
        if not any(name == entry or name.startswith(entry + ".") for entry in allowed)
    }
    assert not forbidden


@pytest.mark.parametrize("module", MODULES)
def test_modules_load_only_the_third_parties_of_the_table(module):
    loaded = imports(MODULES[module], in_functions=False, for_types=False)
    found = {name.split(".")[0] for name in loaded}
    found -= {"keras_vit", *sys.stdlib_module_names}
    allowed = rule(module, THIRD_PARTY)
    assert allowed is None or found <= allowed


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"keras_internals"}))
def test_only_one_module_reaches_into_keras(module):
    tree = ast.parse(MODULES[module].read_text())
    attributes = {
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    names = attributes | set(imports(MODULES[module]))
    assert not [name for name in names if f"{name}.".startswith("keras.src.")]


@pytest.mark.parametrize("module", [name for name in MODULES if "layers" in name])
def test_no_layer_subclasses_another_of_ours(module):
    tree = ast.parse(MODULES[module].read_text())
    bases = {
        ast.unparse(base)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    shared = {"PlainLayer", "CompositeLayer"}
    assert bases <= {"keras.layers.Layer", "keras.layers.Dense", *shared}


def test_imports_have_no_cycle():
    graph = {
        module.removesuffix(".__init__"): own_imports(path, for_types=False)
        & set(MODULES)
        for module, path in MODULES.items()
        if not module.endswith("__init__")
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_the_table_has_no_row_for_a_missing_module():
    names = {*MODULES, *(name.rpartition(".")[0] for name in MODULES)}
    assert set(MAY_IMPORT) | set(THIRD_PARTY) <= names


def test_all_is_sorted():
    # As ruff sorts it: constants, classes, then functions and modules.
    def key(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert keras_vit.__all__ == sorted(keras_vit.__all__, key=key)


def test_all_names_exist():
    assert [name for name in keras_vit.__all__ if not hasattr(keras_vit, name)] == []


IMPORT = """
import os, sys, warnings
import keras

heavy = {"jax", "tensorflow", "torch", "PIL", "matplotlib", "sklearn", "timm"}
heavy |= {"tensorflow_datasets", "ai_edge_litert", "keras_cv", "keras_hub"}
before, environment, events = set(sys.modules), dict(os.environ), []
sys.addaudithook(lambda name, args: name.startswith("socket.") and events.append(name))
warnings.simplefilter("error")
import keras_vit

assert not events, events
assert dict(os.environ) == environment
assert not heavy & (set(sys.modules) - before), heavy & (set(sys.modules) - before)
"""


def run_in_a_fresh_process(code: str, backend: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_importing_only_defines_things(backend):
    # No print, no warning, no other backend, no socket, no environment variable.
    # Keras loads some of these packages itself where they are installed.
    child = run_in_a_fresh_process(IMPORT, backend)
    assert child.returncode == 0, child.stderr
    assert child.stdout == ""
