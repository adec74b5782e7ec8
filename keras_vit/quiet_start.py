"""The start-up of TensorFlow and LiteRT without notes, for the command line.

TensorFlow writes them before its log level counts (2.21), straight to the file
descriptor, and Keras imports it on JAX and torch, too, where it is installed: when it
saves or loads (`serialize_keras_object`, Keras 3.15). LiteRT has no
log level in Python.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Notes, and what is said of GPUs where there is none.
_NOTES = (
    r"WARNING: All log messages before absl::InitializeLog\(\) is called",
    r"I\d{4} ",
    r"INFO: ",
    r"\d{4}-\d\d-\d\d \S+ I ",
    r"[WE]\d{4} .*(cuda_|cuInit|cudart|gpu_device|computation_placer)",
    r"To enable the following instructions:",
    r"To turn them off, set the environment variable",
)
_NOTE = re.compile("|".join(_NOTES))


def quiet_libraries() -> None:
    """Keep their notes back whenever these libraries are imported from now on."""
    sys.meta_path.insert(0, _Finder())


def _look_for_gpus(tensorflow: Any) -> None:
    """Let TensorFlow look for GPUs now rather than later, as it says so."""
    if "TPU_NAME" not in os.environ:
        tensorflow.config.list_physical_devices("GPU")


def _quiet_first_graph(litert: Any) -> None:
    """Keep back what LiteRT says when it first lays out a graph, in either way."""
    _quiet_first_call(litert.Interpreter, "allocate_tensors")
    _quiet_first_call(litert.SignatureRunner, "__call__")


def _quiet_first_call(owner: type, name: str) -> None:
    method = getattr(owner, name)

    def quietly(*arguments: Any, **options: Any) -> Any:
        setattr(owner, name, method)
        with without_notes():
            return method(*arguments, **options)

    setattr(owner, name, quietly)


# From a module to what is done after its import, with its notes kept back, too.
_AFTERWARDS: dict[str, Callable[[Any], None]] = {
    "tensorflow": _look_for_gpus,
    "ai_edge_litert.interpreter": _quiet_first_graph,
}


class _Finder(MetaPathFinder):
    """Finds these libraries as Python does, and wraps their loaders."""

    def __init__(self) -> None:
        self._is_looking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: Any = None
    ) -> ModuleSpec | None:
        if name not in _AFTERWARDS or self._is_looking:
            return None
        self._is_looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._is_looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loads a module with its notes kept back."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with without_notes():
            self._loader.exec_module(module)
            _AFTERWARDS[module.__name__](module)


@contextmanager
def without_notes() -> Iterator[None]:
    """Keep back what is written to stderr inside, and then write what are no notes."""
    sys.stderr.flush()
    own = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(own, 2)
            os.close(own)
            kept.seek(0)
            for line in kept.read().decode(errors="replace").splitlines():
                if not _NOTE.match(line):
                    print(line, file=sys.stderr)
