"""Start child processes, and run an exported file in one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

# Pictures in one file of inputs: some gigabytes, as large as a disk should spare.
_RUN_AT_ONCE = 4000


def run(
    path: Path, format: str, pictures: Sequence[np.ndarray], scratch: Path
) -> np.ndarray:
    """Return the outputs of an exported file, run without this package."""
    parts = [
        _run(path, format, pictures[first : first + _RUN_AT_ONCE], scratch)
        for first in range(0, len(pictures), _RUN_AT_ONCE)
    ]
    return np.concatenate(parts)


def _run(
    path: Path, format: str, pictures: Sequence[np.ndarray], scratch: Path
) -> np.ndarray:
    # What `np.savez` writes, but one picture after the other.
    with zipfile.ZipFile(scratch / "inputs.npz", "w") as archive:
        for number, picture in enumerate(pictures):
            with archive.open(f"{number:05d}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(picture))
    # As a script, not a module: it must not import this package.
    script = Path(__file__).with_name("run_exported.py")
    arguments = [format, path, scratch / "inputs.npz", scratch / "outputs.npy"]
    command = [sys.executable, "-P", str(script), *map(str, arguments)]
    start(command, "Running the exported file", keras.backend.backend())
    return np.load(scratch / "outputs.npy")


def start(
    command: list[str],
    what: str,
    backend: str,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run a child process on the CPU and wait for it.

    Args:
        command: program and arguments.
        what: it does, as the first words of an error.
        backend: of Keras in that process.
        variables: of its environment, besides those of this process.

    Raises:
        RuntimeError: if it fails; with the last lines that it wrote, or the signal.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Converters go through sets: the same model gives the same bytes.
        "PYTHONHASHSEED": "0",
        # What this process finds, and nothing else: with `python -P`, a random.py in
        # the folder of the user does not stand in for Python's.
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        **(variables or {}),
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode < 0:
        raise RuntimeError(
            f"{what} was ended by {signal.Signals(-result.returncode).name} and "
            "nothing was written. SIGKILL most often means that the memory was used "
            "up: close other programs, or take a machine with more."
        )
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise RuntimeError(
            f"{what} failed and nothing was written. The last lines of the child "
            "process:\n  " + "\n  ".join(lines[-8:])
        )
