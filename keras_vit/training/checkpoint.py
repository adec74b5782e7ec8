"""Save the whole state of training after an epoch, and take it up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.files import replacing

FILE_NAME = "checkpoint.npz"


def save_checkpoint(
    folder: str | Path, model: keras.Model, *, epoch: int, facts: dict[str, Any]
) -> None:
    """Write weights, seed generators and optimizer of a compiled model to one file.

    The file replaces the former one only when it is complete.

    Args:
        folder: gets the file `checkpoint.npz`.
        model: compiled and built.
        epoch: number of finished epochs.
        facts: what the run is made of, JSON values; `load_checkpoint` compares them.

    Raises:
        OSError: if the file cannot be written; the former one stays.
    """
    arrays: dict[str, Any] = {
        f"{number:05d}": _as_array(variable)
        for number, variable in enumerate(_state(model))
    }
    arrays |= _global_random_state()
    header = {"epoch": epoch, "facts": facts, "names": _names(model)}
    with replacing(Path(folder) / FILE_NAME) as temporary:
        np.savez(temporary, header=np.array(json.dumps(header)), **arrays)


def read_header(folder: str | Path) -> dict[str, Any]:
    """Return {"epoch", "facts", "names"} of the checkpoint in `folder`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is damaged.
    """
    return json.loads(str(_read(folder, names=["header"])["header"]))


def load_checkpoint(
    folder: str | Path, model: keras.Model, *, facts: dict[str, Any]
) -> int:
    """Put a saved state into a compiled model and return the finished epochs.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if the file is damaged, or was made by another model or run; the
            message names the differences, and the model is left as it was.
    """
    header = read_header(folder)
    differences = [
        f"{key}: {header['facts'].get(key)!r} there, {facts.get(key)!r} now"
        for key in sorted({*header["facts"], *facts})
        if header["facts"].get(key) != facts.get(key)
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
    arrays = _read(folder)
    for number, variable in enumerate(variables):
        array = arrays[f"{number:05d}"]
        if variable.dtype == "bfloat16":
            array = array.astype("float32")
        variable.assign(array)
    _set_global_random_state(arrays)
    return header["epoch"]


def _state(model: keras.Model) -> list[Any]:
    # model.variables holds the states of the seed generators, which weights lacks:
    # without them dropout would not go on where it stopped.
    return [*model.variables, *model.optimizer.variables]


def _names(model: keras.Model) -> list[str]:
    # Only weights have a path of ours; the others count up within a process.
    weights = {id(weight) for weight in model.weights}
    return [
        f"{v.path if id(v) in weights else v.name} {tuple(v.shape)} {v.dtype}"
        for v in _state(model)
    ]


def _as_array(variable: Any) -> np.ndarray:
    array: Any = keras.ops.convert_to_numpy(variable)
    # NumPy files know no bfloat16; float32 holds each of its values.
    return array.astype("float32") if variable.dtype == "bfloat16" else array


def _global_random_state() -> dict[str, np.ndarray]:
    # Dropout without a fixed seed draws from torch's own generators there (Keras 3.15);
    # the other backends keep all state in seed generators.
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"torch_cpu": torch.get_rng_state().numpy()}
    for number, state in enumerate(torch.cuda.get_rng_state_all()):
        states[f"torch_cuda_{number}"] = state.numpy()
    return states


def _set_global_random_state(arrays: dict[str, np.ndarray]) -> None:
    if "torch_cpu" not in arrays:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(arrays["torch_cpu"]).cpu())
    for number in range(torch.cuda.device_count()):
        if f"torch_cuda_{number}" in arrays:
            state = torch.from_numpy(arrays[f"torch_cuda_{number}"])
            torch.cuda.set_rng_state(state.cpu(), number)


def _read(folder: str | Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"No checkpoint {str(path)!r}. Start without resuming.")
    try:
        # Opened here, because np.load leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays.files}
    except Exception as error:  # A damaged zip raises many types.
        raise ValueError(
            f"The checkpoint {str(path)!r} is damaged ({error}). Remove it and start "
            "again."
        ) from error
