"""Convert a model and run the file, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.export.request import ExportRequest

# Pictures in one file of inputs: some gigabytes, as large as a disk should spare.
_RUN_AT_ONCE = 4000


def convert(
    model: keras.Model,
    scratch: Path,
    target: Path,
    request: ExportRequest,
    metadata: dict[str, Any],
    calibration: np.ndarray | None = None,
    parts: list[str] | None = None,
    converter: str | None = None,
) -> dict[str, Any]:
    """Write a model in another format, under the backend of that format.

    A file of another precision may leave the one in float32 that it was made from at
    `float_file(scratch, request)`.

    Args:
        model: in float32, with preprocessing in front of it if the file takes pixels.
        scratch: folder for what is between.
        target: file or folder to write.
        request: what is wanted.
        metadata: what the file says about itself; its input and output name those of
            the file.
        calibration: images as the file takes them, (N, H, W, C).
        parts: names of what a quantizer may treat in its own way.
        converter: module of `keras_vit.export.converters`. Default: that of the format.

    Returns:
        What the converter decided, JSON values; most decide nothing.
    """
    model.save(scratch / "model.keras")
    job = {
        "model": str(scratch / "model.keras"),
        "scratch": str(scratch),
        "parent": os.getpid(),
        "target": str(target),
        "result": str(scratch / "result.json"),
        "float_file": str(float_file(scratch, request)),
        "converter": converter or request.row.converter,
        "quantization": request.quantization,
        "input": metadata["input"],
        "output": metadata["output"]["name"],
        "metadata": metadata,
        "profile": request.profile,
        "calibration": None,
        "parts": parts or [],
    }
    if calibration is not None:
        job["calibration"] = str(scratch / "calibration.npy")
        np.save(job["calibration"], calibration)
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "keras_vit.export.converters"]
    start([*command, str(scratch / "job.json")], "The conversion", request.row.backend)
    result = Path(job["result"])
    return json.loads(result.read_text(encoding="utf-8")) if result.is_file() else {}


def float_file(scratch: Path, request: ExportRequest) -> Path:
    """Return where a converter leaves the file in float32 that it quantizes."""
    return scratch / f"float{request.row.suffix}"


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
