"""Checkpoints of weights that are cut over devices: each process writes its parts."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from keras_vit.distribution import Distribution
from keras_vit.files import explain

HEADER_FILE = "header.json"
ARRAYS_FOLDER = "arrays"  # in Orbax's format


def is_wanted(variables: list[Any], devices: Distribution) -> bool:
    """Tell whether variables are cut over devices and every process has Orbax."""
    if keras.backend.backend() != "jax":
        return False
    if all(variable.value.is_fully_replicated for variable in variables):
        return False
    return set(devices.exchange(str(_has_orbax()))) == {"True"}


def write(
    folder: Path, header: dict[str, Any], variables: list[Any], devices: Distribution
) -> None:
    """Write a checkpoint; it is complete when this returns, on each process.

    Args:
        folder: the same for all processes, on a disk that they share; what is there is
            removed.
        header: JSON values.
        variables: in the order in which `restore` takes them.
        devices: that share the training; each process has to call this.

    Raises:
        OSError: if the disk is full or the folder cannot be written.
    """
    import orbax.checkpoint as orbax

    try:
        if devices.is_main:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        devices.barrier()
        with orbax.PyTreeCheckpointer() as checkpointer:
            arrays = {_key(i): variable.value for i, variable in enumerate(variables)}
            checkpointer.save((folder / ARRAYS_FOLDER).absolute(), arrays)
        header = {**header, "files": _digests(folder / ARRAYS_FOLDER, devices)}
        if devices.is_main:
            text = json.dumps({**header, "sha256": _checksum(header)})
            (folder / HEADER_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise explain(error, folder) from error


def read(folder: Path, devices: Distribution) -> dict[str, Any]:
    """Return the header of a checkpoint after each file was checked.

    The processes share the work; each has to call this, and all end alike.

    Raises:
        ImportError: if Orbax is missing.
        ValueError: if the checkpoint is damaged.
    """
    if not _has_orbax():
        raise ImportError(
            f"{str(folder)!r} was written by Orbax, which is not installed. Install it "
            "with pip install 'keras3-vit[orbax]'."
        )
    header = json.loads((folder / HEADER_FILE).read_text(encoding="utf-8"))
    if header.pop("sha256") != _checksum(header):
        raise ValueError("the checksum of its header is wrong")
    found, expected = _digests(folder / ARRAYS_FOLDER, devices), header["files"]
    wrong = [name for name in expected if found.get(name) != expected[name]]
    if wrong:
        raise ValueError(f"the checksum of {wrong[0]!r} is wrong")
    return header


def restore(folder: Path, variables: list[Any]) -> list[Any]:
    """Return the saved values, cut as the variables are now, on whatever devices."""
    import orbax.checkpoint as orbax

    places = {
        _key(i): orbax.ArrayRestoreArgs(
            sharding=value.sharding, global_shape=value.shape, dtype=value.dtype
        )
        for i, value in enumerate(variable.value for variable in variables)
    }
    args = orbax.args.PyTreeRestore(item=dict.fromkeys(places, 0), restore_args=places)
    with orbax.PyTreeCheckpointer() as checkpointer:
        values = checkpointer.restore((folder / ARRAYS_FOLDER).absolute(), args=args)
    return [values[_key(i)] for i in range(len(variables))]


def _has_orbax() -> bool:
    # Found without importing the parent, which belongs to several packages.
    return all(find_spec(name) for name in ("orbax", "orbax.checkpoint"))


def _key(number: int) -> str:
    return f"{number:05d}"


def _digests(folder: Path, devices: Distribution) -> dict[str, str]:
    """Return the SHA-256 of each file; each process reads its share of them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    share = names[devices.process_id :: devices.num_processes]
    own = {name: _digest(folder / name) for name in share}
    digests: dict[str, str] = {}
    for text in devices.exchange(json.dumps(own)):
        digests |= json.loads(text)
    return digests


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:  # The others wait for this process to answer.
        return f"unreadable: {error}"


def _checksum(header: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
