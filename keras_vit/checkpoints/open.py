"""Find out what a source is, by what is in it, and open it."""

from __future__ import annotations

import argparse
import json
import warnings
import zipfile
from collections import ChainMap
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.first_party_file import (
    needs_architecture,
    open_first_party,
)
from keras_vit.checkpoints.huggingface_config import (
    is_huggingface,
    open_huggingface,
)
from keras_vit.checkpoints.keras_hub import is_keras_hub, open_keras_hub
from keras_vit.checkpoints.npz import open_npz
from keras_vit.checkpoints.safetensors import SafetensorsFile
from keras_vit.checkpoints.timm_folder import is_timm, open_timm

INDEX_FILE = "model.safetensors.index.json"
WEIGHT_FILES = ("model.safetensors", INDEX_FILE, "open_clip_model.safetensors")
PICKLE_FILES = ("pytorch_model.bin", "open_clip_pytorch_model.bin")


def open_checkpoint(path: str | Path, architecture: str | None = None) -> Checkpoint:
    """Describe the checkpoint in a folder or file, without building a model.

    Args:
        path: a folder with `config.json` and weights, or a weight file.
        architecture: timm name of what a weight file of its authors holds, which is
            then not looked up in a `config.json`. Default None: it is.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        ValueError: if the format is unknown or the files are damaged.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"No checkpoint {str(path)!r}. Check the path.")
    if path.suffix == ".npz" and architecture is None:
        return open_npz(path)
    if architecture is not None:
        return open_first_party(path, architecture, open_arrays(path))
    folder = path if path.is_dir() else path.parent
    config = read_config(folder)
    if config is None and (folder / "model.npz").is_file():
        return open_npz(folder / "model.npz")
    if config is None:
        raise ValueError(needs_architecture(path))
    if is_keras_hub(config):
        return open_keras_hub(folder, config)
    arrays = open_arrays(path)
    if is_timm(config):
        return open_timm(folder, config, arrays)
    if is_huggingface(config):
        return open_huggingface(folder, config, arrays)
    raise ValueError(
        f"The config.json in {str(folder)!r} is of no format that keras_vit knows: its "
        f"keys are {sorted(config)[:12]}. Known are those of timm and transformers."
    )


def read_config(folder: Path) -> dict[str, Any] | None:
    """Return `config.json`, None if there is none.

    Raises:
        ValueError: if it is no JSON object.
    """
    file = folder / "config.json"
    if not file.is_file():
        return None
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(file)!r} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{str(file)!r} must hold one JSON object.")
    return config


def open_arrays(path: Path) -> Arrays:
    """Return the arrays of a weight file, or of the one in a folder.

    Raises:
        FileNotFoundError: if a folder holds no weights.
        ImportError: if torch is needed and not installed.
        ValueError: if the file is damaged or of an unknown kind.
    """
    if path.is_dir():
        found = [path / n for n in (*WEIGHT_FILES, *PICKLE_FILES)]
        found = [file for file in found if file.is_file()]
        if not found:
            raise FileNotFoundError(
                f"No weights in {str(path)!r}: none of {[*WEIGHT_FILES, *PICKLE_FILES]}"
                "."
            )
        path = found[0]
    if path.name == INDEX_FILE:
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return SafetensorsFile(path)
    if path.suffix in (".bin", ".pth", ".pt"):
        return _read_pickle(path)
    raise ValueError(
        f"Weights are a .safetensors, .bin, .pth or .pt file, received {str(path)!r}."
    )


def _read_shards(index: Path) -> Arrays:
    """Return the arrays of several files as one mapping, as the index lists them."""
    try:
        places = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        names = sorted({str(name) for name in places.values()})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{str(index)!r} must map each array to a file under 'weight_map': {error}"
        ) from error
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{str(index)!r} needs {len(missing)} files that are not there: "
            f"{', '.join(missing)}. Download them, too."
        )
    arrays: Arrays = ChainMap(*(SafetensorsFile(index.parent / n) for n in names))  # pyright: ignore[reportArgumentType]
    absent = sorted(set(places) - set(arrays))
    if absent:
        raise ValueError(
            f"{str(index)!r} lists {len(absent)} arrays that no file holds, such as "
            f"{absent[0]!r}. Download the files again."
        )
    return arrays


def _read_pickle(path: Path) -> Arrays:
    """Read tensors through torch, which refuses a pickle that holds anything else."""
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
    try:
        with (
            warnings.catch_warnings(),
            # The options of a training script, beside the weights of MAE and others.
            torch.serialization.safe_globals([argparse.Namespace]),
        ):
            warnings.simplefilter("ignore")  # About pickles that it refuses anyway.
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Damaged zips and refused pickles raise many types.
        # Not torch's own message, which recommends to unpickle it all the same.
        raise ValueError(
            f"{str(path)!r} is damaged, or holds something else than tensors, which "
            f"could run code and is never unpickled ({type(error).__name__}). Download "
            "it again, or use a .safetensors file. If you trust the file, load it with "
            "torch yourself and save its tensors alone."
        ) from error
    state = _unwrapped(state)
    if not isinstance(state, dict):
        raise ValueError(
            f"{str(path)!r} must hold a dictionary of tensors, received a "
            f"{type(state).__name__}. Save model.state_dict() instead."
        )
    arrays = {}
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            continue
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        arrays[name.removeprefix("module.")] = np.asarray(tensor.numpy())
    return arrays


# Under which key a training script keeps the weights, the best first.
_WRAPPERS = (
    *("state_dict_ema", "model_ema", "state_dict", "model", "module", "teacher"),
    *("target_encoder", "encoder"),
)


def _unwrapped(state: Any) -> Any:
    """Return the weights inside the dictionary that a training script saves."""
    while isinstance(state, dict):
        # timm and transformers take the encoder of I-JEPA, which has a predictor.
        keys = ("encoder", *_WRAPPERS) if "predictor" in state else _WRAPPERS
        inner = [state[key] for key in keys if isinstance(state.get(key), dict)]
        if not inner:
            return state
        state = inner[0]
    return state


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return any(name.endswith("/constants.pkl") for name in file.namelist())
