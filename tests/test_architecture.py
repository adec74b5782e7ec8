from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import keras_vit

PACKAGE = Path(keras_vit.__file__).parent

# Which of our own modules a module may import, by its longest name found here. A
# package stands for all that is in it. This is the table of the house style.
MAY_IMPORT: dict[str, set[str]] = {
    "config": {"config_checks", "config_counts", "config_values", "variants"},
    "config_checks": {"config"},  # for type checkers only
    "config_counts": {"config"},  # for type checkers only
    "config_values": set(),
    "variants": set(),
    "version": set(),
    "files": set(),
    "containers": set(),
    "metadata": {"containers"},
    "outputs": set(),
    "pixels": set(),
    "preprocessing": {"pixels"},
    "layers": {"layers"},
    "parts": {"config", "layers"},
    "model": {"config", "layers", "parts", "preprocessing"},
    "keras_file": {"files"},
    "keras_internals": set(),
    "checkpoints": {"checkpoints", "config", "files", "preprocessing"},
    "loading": {
        "checkpoints",
        "config",
        "keras_file",
        "keras_internals",
        "model",
        "preprocessing",
    },
    "saving": {"checkpoints", "files", "keras_file", "model"},
    "registry": {"checkpoints", "config"},
    "features": {"layers"},
    "surgery": {"checkpoints", "config", "model", "preprocessing"},
    "data": {"config", "data", "preprocessing"},
    "distribution": {"distribution", "keras_internals"},
    "training": {
        *(
            "config",
            "data",
            "distribution",
            "files",
            "keras_file",
            "keras_internals",
            "metadata",
            "outputs",
            "preprocessing",
        ),
        "training",
    },
    "inference": {
        "config",
        "data",
        "export.formats",  # which files those are
        "export.run_exported",  # runs the files that export writes
        "features",
        "inference",
        "keras_file",
        "metadata",
        "outputs",
        "preprocessing",
    },
    "export": {
        "config",
        "data.digits",  # pictures to verify on
        "data.folder",  # pictures to calibrate with
        "data.images",  # checks of labels
        "export",
        "files",
        "keras_file",
        "layers.image_preprocessing",  # goes around the model, not into it
        "metadata",
        "outputs",
        "preprocessing",
        "version",
    },
    "web": {
        "export",
        "files",
        "inference.predictor",  # finds the file of a model
        "keras_file",
        "metadata",
        "preprocessing",
        "web",
    },
    # Processes of their own, which have to load models.
    "export.time_exported": {"keras_vit"},
    "export.converters": {
        "config",
        "export.attention",
        "export.converters",
        "export.encoded",  # names of a signature
        "export.formats",
        "export.run_exported",
        "keras_vit",
        "layers.attention_product",  # tells what its weights were
        "layers.image_preprocessing",
        "layers.root_mean_square",  # is told to be safe in float16
    },
}
EVERYTHING = {"__init__", "__main__", "cli"}

# Third-party packages at module level. All others are imported where they are used.
THIRD_PARTY: dict[str, set[str]] = {
    **{name: set() for name in ("config", "config_checks", "config_counts")},
    **{name: set() for name in ("config_values", "variants")},
    "files": set(),
    "containers": set(),
    "metadata": set(),
    "version": set(),
    "checkpoints": {"numpy"},
    "pixels": {"numpy"},
    "preprocessing": {"numpy"},
    "layers": {"keras"},
    "layers.image_preprocessing": {"keras", "numpy"},  # the filters are constants
    "model": {"keras"},
    "parts": {"keras"},
}
THIRD_PARTY_ELSEWHERE = {"keras", "numpy"}

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
    assert found <= (THIRD_PARTY_ELSEWHERE if allowed is None else allowed)


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
    assert bases <= {"keras.layers.Layer", "CompositeLayer"}


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
