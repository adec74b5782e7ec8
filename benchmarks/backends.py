"""Run a benchmark once per Keras backend, each in its own process."""

from __future__ import annotations

import os
import subprocess
import sys

BACKENDS = ("tensorflow", "jax", "torch")


def run_on_each_backend(script: str, *arguments: str) -> None:
    """Run `script` with `arguments` on each backend; its output goes to ours."""
    for backend in BACKENDS:
        subprocess.run(
            [sys.executable, script, *arguments], env=backend_env(backend), check=True
        )


def backend_env(backend: str) -> dict[str, str]:
    """Return this process's environment with another Keras backend."""
    return {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
