"""Read the tensors in a pickle through torch, which refuses one that holds more."""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.files.wrappers import weights_inside, without_marks

# Modules whose objects training code keeps beside its weights, such as settings. Each
# becomes an empty object; nothing of these modules runs.
_HARMLESS = (
    *("argparse.", "pathlib.", "numpy.", "collections.", "datetime.", "enum."),
    *("omegaconf.", "lightning.", "lightning_fabric.", "pytorch_lightning."),
    *("lightning_utilities.", "yacs.", "easydict.", "addict.", "ml_collections."),
    *("mmengine.config.", "typing.", "torch.optim.", "torch.torch_version."),
    *("builtins.list", "builtins.dict", "builtins.int", "builtins.float"),
)
# Dictionaries with another name, which may hold the weights.
_DICTIONARIES = ("Dict", "dict", "CfgNode")


class PickledArrays(dict[str, np.ndarray]):
    """The arrays of a file by name.

    Args:
        arrays: by name.
        architecture: what the training script called its model, None if it says
            nothing.
    """

    def __init__(self, arrays: Any, architecture: str | None = None) -> None:
        super().__init__(arrays)
        self.architecture = architecture


class _Ignored:
    """Stands for an object beside the weights, which is neither made nor read."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Ignored:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _empty_dictionary(*args: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def read_pickle(path: Path) -> PickledArrays:
    """Return the tensors in a file that torch wrote.

    Raises:
        ImportError: if torch is not installed.
        ValueError: if the file is damaged, or holds anything else than tensors.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"torch is needed to read {str(path)!r}. Install it with "
            "pip install 'keras3-vit[torch]', or use a .safetensors file."
        ) from error
    if _is_torchscript(path):
        raise ValueError(
            f"{str(path)!r} is a TorchScript archive, a program with weights, like the "
            "CLIP files of OpenAI, and keras_vit runs no programs from files. If you "
            "trust it, write its weights with torch.save(torch.jit.load(path, "
            "map_location='cpu').state_dict(), 'weights.pt') and load that."
        )
    state = _unpickled(torch, path)
    if not isinstance(state, dict):
        raise ValueError(
            f"{str(path)!r} must hold a dictionary of tensors, received a "
            f"{type(state).__name__}. Save model.state_dict() instead."
        )
    source = str(path)
    weights = weights_inside(state, lambda x: _is_matrix(torch, x), source)
    arrays = {
        name: _array(torch, name, tensor, source)
        for name, tensor in weights.items()
        if isinstance(tensor, torch.Tensor)
    }
    if not arrays:
        raise ValueError(
            f"{source!r} must hold a dictionary of tensors, received the keys "
            f"{[*map(str, state)][:8]} without any. Save model.state_dict() instead."
        )
    return PickledArrays(without_marks(arrays, source), _architecture(state))


def _unpickled(torch: Any, path: Path) -> Any:
    unread: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About pickles that it refuses anyway.
            with _placeholders(torch, path, unread):
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Damaged zips and refused pickles raise many types.
        # Not torch's own message, which recommends to unpickle it all the same.
        which = f" of {unread[:4]}" if unread else f" ({type(error).__name__})"
        raise ValueError(
            f"{str(path)!r} is damaged, or holds something else than tensors, which "
            f"could run code and is never unpickled: objects{which}. Download it "
            "again, or use a .safetensors file. If you trust the file, load it with "
            "torch yourself and save its tensors alone."
        ) from error


@contextmanager
def _placeholders(torch: Any, path: Path, unread: list[str]) -> Iterator[None]:
    """Let torch put `_Ignored` where objects of harmless modules stand."""
    known: list[Any] = [argparse.Namespace]
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # Not a zip of torch's, or damaged, which `load` reports.
        names = []
    # torch returns a set. Named first is what is not torch's own: it tells most.
    for name in sorted(names, key=lambda name: (name.startswith("torch."), name)):
        if name == "argparse.Namespace":
            continue
        if name == "collections.defaultdict":
            known.append((_empty_dictionary, name))
        elif name.startswith(_HARMLESS) and name.endswith(_DICTIONARIES):
            known.append((OrderedDict, name))
        elif name.startswith(_HARMLESS):
            known.append((type("_Ignored", (_Ignored,), {}), name))
        else:
            unread.append(name)
    with torch.serialization.safe_globals(known):
        yield


def _is_matrix(torch: Any, value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 1


def _array(torch: Any, name: str, tensor: Any, source: str) -> np.ndarray:
    tensor = tensor.detach()
    try:
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{source!r} must hold plain floats or whole numbers, received {name!r} "
            f"of type {tensor.dtype}, {tensor.layout}, on {tensor.device}. Save its "
            "values as float32."
        ) from error


def _architecture(state: dict[str, Any]) -> str | None:
    """Return the name of the model as timm's training script writes it."""
    args = state.get("args")
    given = args if isinstance(args, dict) else getattr(args, "__dict__", {})
    found = state.get("arch") or given.get("model")
    return found if isinstance(found, str) else None


def _is_torchscript(path: Path) -> bool:
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as file:
            return any(name.endswith("/constants.pkl") for name in file.namelist())
    except Exception:  # A damaged directory raises many types; `torch.load` says so.
        return False
