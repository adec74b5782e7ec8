"""Scripts of `examples/` as modules, run in the process of the test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def script(name: str) -> ModuleType:
    """Return an example as a module; its `main` has not run."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(patch: pytest.MonkeyPatch, name: str, *arguments: object) -> ModuleType:
    """Run the `main` of an example as the command line does."""
    module = script(name)
    patch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    module.main()
    return module
