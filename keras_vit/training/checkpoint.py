"""Save the whole state of training after any step, and take it up again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.distribution import Distribution, current
from keras_vit.distribution.base import differing_keys
from keras_vit.files import replacing
from keras_vit.training import sharded_checkpoint

FILE_NAME = "checkpoint.npz"
PREVIOUS_NAME = "checkpoint.previous.npz"
# Folders, where weights are cut over devices.
SHARDED_NAME = "checkpoint.orbax"
PREVIOUS_SHARDED_NAME = "checkpoint.previous.orbax"
TEMPORARY_SHARDED_NAME = ".checkpoint.orbax.new"
# The newest first; of both kinds there is one at most.
NAMES = (FILE_NAME, SHARDED_NAME, PREVIOUS_NAME, PREVIOUS_SHARDED_NAME)

Arrays = dict[str, np.ndarray]
Facts = dict[str, Any]  # what a run is made of, JSON values


@dataclass(frozen=True)
class Position:
    """How far a run has come.

    Args:
        epoch: number of finished epochs.
        batch: number of finished batches of the epoch after them.
        history: one row for each finished epoch.
        accumulation_steps: micro-batches of a step, chosen when the run began.
        is_over: whether the run ended with its last epoch, before the recipe's.
        callbacks: class and state of each callback of the user.
    """

    epoch: int = 0
    batch: int = 0
    history: Sequence[dict[str, float]] = field(default=(), compare=False)
    accumulation_steps: int | None = field(default=None, compare=False)
    is_over: bool = field(default=False, compare=False)
    callbacks: Sequence[tuple[str, dict[str, Any]]] = field(default=(), compare=False)


def save_checkpoint(
    folder: str | Path,
    model: keras.Model,
    *,
    position: Position,
    facts: Facts,
    devices: Distribution | None = None,
) -> None:
    """Write weights, seed generators, metrics and optimizer of a model to one file.

    The moving averages of the weights are part of the optimizer. The file carries a
    checksum and takes its name when it is complete; the one before it is kept beside
    it, for the case that the disk damages the newer one.

    Where JAX has cut weights over devices ("model_parallel") and Orbax is installed, it
    is a folder in Orbax's format, to which each process writes its own parts; without
    Orbax, process 0 gathers all of them.

    Args:
        folder: gets the file `checkpoint.npz`, and `checkpoint.previous.npz`, or the
            folders `checkpoint.orbax` and `checkpoint.previous.orbax`.
        model: compiled and built.
        position: how far the run has come.
        facts: what the run is made of, JSON values; `load_checkpoint` compares them.
        devices: that share the training; each process has to call this. Default: the
            current ones.

    Raises:
        OSError: if the file cannot be written; the former ones stay.
    """
    devices, folder = devices or current(), Path(folder)
    synchronize(model)
    variables = _state(model)
    header = {"position": asdict(position), "facts": facts, "names": _names(model)}
    if sharded_checkpoint.is_wanted(variables, devices):
        temporary = folder / TEMPORARY_SHARDED_NAME
        sharded_checkpoint.write(temporary, header, variables, devices)
        if devices.is_main:
            _keep_former(folder)
            os.replace(temporary, folder / SHARDED_NAME)
        return
    arrays = {f"{i:05d}": _as_array(v, devices) for i, v in enumerate(variables)}
    arrays |= _states_of_processes(model, devices)
    if not devices.is_main:
        return
    header["sha256"] = _checksum(arrays, header)
    with replacing(folder / FILE_NAME) as temporary:
        np.savez(temporary, header=np.array(json.dumps(header)), **arrays)  # pyright: ignore[reportArgumentType]
        _keep_former(folder)


def _keep_former(folder: Path) -> None:
    """Make the newest checkpoint the previous one.

    If the next one never takes its name, the previous one is there alone, and loads.
    """
    newest = [folder / name for name in (FILE_NAME, SHARDED_NAME)]
    present = [path for path in newest if path.exists()]
    if not present:
        return
    (folder / PREVIOUS_NAME).unlink(missing_ok=True)
    shutil.rmtree(folder / PREVIOUS_SHARDED_NAME, ignore_errors=True)
    path = present[0]
    os.replace(path, path.with_name(f"{path.stem}.previous{path.suffix}"))


def has_checkpoint(folder: str | Path) -> bool:
    """Tell whether there is a checkpoint in `folder`, whole or not."""
    return any((Path(folder) / name).exists() for name in NAMES)


def read_header(folder: str | Path) -> dict[str, Any]:
    """Return {"position", "facts", "names"} of the checkpoint in `folder`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, and the one before it, too.
    """
    return _read(folder, current())[0]


def load_checkpoint(
    folder: str | Path,
    model: keras.Model,
    *,
    facts: Facts,
    devices: Distribution | None = None,
) -> Position:
    """Put a saved state into a compiled model and return how far it had come.

    A damaged file is passed over with a warning if the one before it is whole.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it is damaged, or was made by another model or run; the message
            names the differences, and the model is left as it was.
    """
    devices = devices or current()
    header, arrays, path = _read(folder, devices)
    saved = header["facts"]
    differences = [
        f"{key}: {saved.get(key)!r} there, {facts.get(key)!r} now"
        for key in differing_keys(saved, facts)
    ]
    if differences:
        raise ValueError(
            f"The checkpoint in {str(folder)!r} is of another configuration "
            f"({'; '.join(differences)}). Use the same settings, or another folder."
        )
    variables = _state(model)
    if header["names"] != _names(model):
        raise ValueError(
            f"The checkpoint in {str(folder)!r} holds {len(header['names'])} variables "
            f"that are not those of this model ({len(variables)}). Use the same "
            "version of Keras and keras_vit, or another folder."
        )
    if arrays is None:
        values = sharded_checkpoint.restore(path, variables)
    else:
        values = [arrays[f"{number:05d}"] for number in range(len(variables))]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    _set_state_of_process(model, arrays or {}, devices)
    return Position(**header["position"])


def synchronize(model: keras.Model) -> None:
    """Bring the variables of a model up to date inside `fit`, where JAX keeps them."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()  # pyright: ignore[reportAttributeAccessIssue]


def _state(model: keras.Model) -> list[Any]:
    # model.variables holds the states of the seed generators, which weights lacks:
    # without them dropout would not go on where it stopped. A teacher is no part of it.
    own = model.variables
    known = {id(variable) for variable in own}
    metrics = [v for v in model.metrics_variables if id(v) not in known]
    return [*own, *metrics, *model.optimizer.variables]


def _names(model: keras.Model) -> list[str]:
    # Only weights have a path of ours; the others count up within a process.
    weights = {id(weight) for weight in model.weights}
    return [
        f"{v.path if id(v) in weights else v.name} {tuple(v.shape)} {v.dtype}"
        for v in _state(model)
    ]


def _as_array(variable: Any, devices: Distribution) -> np.ndarray:
    array: Any = devices.to_numpy(variable)
    # NumPy files know no bfloat16; float32 holds each of its values.
    return array.astype("float32") if variable.dtype == "bfloat16" else array


def _states_of_processes(model: keras.Model, devices: Distribution) -> Arrays:
    """Return what each process has for itself, as bytes, "PROCESS:NAME"."""
    arrays = global_random_state()
    if devices.has_own_metrics:
        metrics: Any = model.metrics_variables
        arrays |= {
            f"metric_{i}": devices.local_values(v) for i, v in enumerate(metrics)
        }
    own = {k: v.tobytes().hex() for k, v in arrays.items()}
    states = [json.loads(text) for text in devices.exchange(json.dumps(own))]
    return {
        f"{process}:{name}": np.frombuffer(bytes.fromhex(value), "uint8").copy()
        for process, found in enumerate(states)
        for name, value in found.items()
    }


def _set_state_of_process(
    model: keras.Model, arrays: Arrays, devices: Distribution
) -> None:
    prefix = f"{devices.process_id}:"
    names = [name for name in arrays if name.startswith(prefix)]
    own = {name.removeprefix(prefix): arrays[name] for name in names}
    if devices.has_own_metrics:
        metrics: Any = model.metrics_variables
        for i, variable in enumerate(metrics):
            values = own[f"metric_{i}"].view(variable.dtype)
            devices.set_local_values(variable, values.reshape(-1, *variable.shape))
    set_global_random_state(own)


def global_random_state() -> dict[str, np.ndarray]:
    """Return the state of random numbers outside the variables of a model."""
    # Dropout without a fixed seed draws from torch's own generators there (Keras 3.15);
    # the other backends keep all state in seed generators.
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"torch_cpu": torch.get_rng_state().numpy()}
    for number, state in enumerate(torch.cuda.get_rng_state_all()):
        states[f"torch_cuda_{number}"] = state.numpy()
    return states


def set_global_random_state(arrays: dict[str, np.ndarray]) -> None:
    """Set what `global_random_state` returned."""
    if "torch_cpu" not in arrays:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(arrays["torch_cpu"]).cpu())
    for number in range(torch.cuda.device_count()):
        if f"torch_cuda_{number}" in arrays:
            state = torch.from_numpy(arrays[f"torch_cuda_{number}"])
            torch.cuda.set_rng_state(state.cpu(), number)


def _read(
    folder: str | Path, devices: Distribution
) -> tuple[dict[str, Any], Arrays | None, Path]:
    """Return header, arrays (None if they are sharded) and path of the newest whole."""
    paths = [Path(folder) / name for name in NAMES]
    present = [path for path in paths if path.exists()]
    if not present:
        raise FileNotFoundError(
            f"No checkpoint {str(paths[0])!r}. Start without resuming."
        )
    problems = []
    for path in present:
        try:
            found = _read_one(path, devices)
        except ImportError:
            raise
        except Exception as error:  # A damaged zip raises many types.
            problems.append(f"{str(path)!r} is damaged ({error})")
            continue
        if problems:
            position = found[0]["position"]
            warnings.warn(
                f"{problems[0]}; the run goes on from the checkpoint before it, at "
                f"epoch {position['epoch'] + 1}, batch {position['batch'] + 1}.",
                stacklevel=3,
            )
        return found
    raise ValueError(
        f"The checkpoint cannot be read: {'; '.join(problems)}. Remove it and start "
        "again."
    )


def _read_one(
    path: Path, devices: Distribution
) -> tuple[dict[str, Any], Arrays | None, Path]:
    if path.suffix == Path(SHARDED_NAME).suffix:
        return sharded_checkpoint.read(path, devices), None, path
    # Opened here, because np.load leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    header = json.loads(str(arrays.pop("header")))
    if header.pop("sha256") != _checksum(arrays, header):
        raise ValueError("its checksum is wrong")
    return header, arrays, path


def _checksum(arrays: Arrays, header: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(header).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view("uint8").data)
    return digest.hexdigest()
