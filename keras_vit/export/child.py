"""Convert a model and run the file, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np


def convert(
    model: keras.Model,
    scratch: Path,
    target: Path,
    format: str,
    metadata: dict[str, Any],
) -> None:
    """Write a model as a SavedModel or LiteRT file, under TensorFlow."""
    model.save(scratch / "model.keras")
    job = {
        "model": str(scratch / "model.keras"),
        "saved_model": str(target if format == "saved_model" else scratch / "saved"),
        "tflite": str(target) if format == "tflite" else None,
        "input": metadata["input"],
        "output": metadata["output"]["name"],
    }
    (scratch / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "keras_vit.export.convert"]
    _child([*command, str(scratch / "job.json")], "The conversion")


def run(
    path: Path, format: str, pictures: list[np.ndarray], scratch: Path
) -> np.ndarray:
    """Return the outputs of an exported file, run without this package."""
    inputs: dict[str, Any] = {
        f"{number:05d}": picture for number, picture in enumerate(pictures)
    }
    np.savez(scratch / "inputs.npz", **inputs)
    # As a script, not a module: it must not import this package.
    script = Path(__file__).with_name("run_exported.py")
    arguments = [format, path, scratch / "inputs.npz", scratch / "outputs.npy"]
    command = [sys.executable, "-P", str(script), *map(str, arguments)]
    _child(command, "Running the exported file")
    return np.load(scratch / "outputs.npy")


def _child(command: list[str], what: str) -> None:
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise RuntimeError(
            f"{what} failed and nothing was written. The last lines of the child "
            "process:\n  " + "\n  ".join(lines[-8:])
        )
