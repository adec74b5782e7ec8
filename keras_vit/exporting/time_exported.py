"""Time files with nothing but their own runtimes; a script, not a module.

Usage: python time_exported.py JOB.json

The job has `files` (each with format, path, shape and dtype of one image), `batches`,
`threads`, `seconds` and `result`, the file to write: for each batch size, for each
file, the seconds that each call took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP_SECONDS = 0.1
WARM_UP_CALLS = 2
LEAST_CALLS = 5
# One file after the other, each for this long: a machine that is busy for a while slows
# all of them.
TURN_SECONDS = 0.02

Call = Callable[[], Any]
Runner = Callable[[np.ndarray], np.ndarray]


def keras_runner(path: str, threads: int) -> Runner:
    """Return what runs a `.keras` file."""
    import keras

    import keras_vit  # noqa: F401  (registers the layers)

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(threads)
    model: Any = keras.saving.load_model(path, compile=False)
    return lambda images: np.asarray(model.predict_on_batch(images))


def open_any(format: str, path: str, threads: int) -> Runner:
    """Return what runs a file of a format, or a `.keras` file."""
    if format == "keras":
        return keras_runner(path, threads)
    return load_script("run_exported").open_file(format, path, threads)


def load_script(name: str) -> Any:
    """Return the file beside this one: the package around it would load Keras."""
    spec: Any = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def time_in_turns(calls: list[Call], seconds: float) -> list[list[float]]:
    """Return how long each of many calls took, for each function, in seconds.

    Each function gets the same time, about `seconds`, in short turns, after a warm-up;
    slow ones are called at least `LEAST_CALLS` times.
    """
    for call in calls:
        _repeat(call, WARM_UP_SECONDS, WARM_UP_CALLS)
    found: list[list[float]] = [[] for _ in calls]
    turns = list(range(len(calls)))
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or min(map(len, found)) < LEAST_CALLS:
        for turn in turns:
            found[turn] += _repeat(calls[turn], TURN_SECONDS, 1)
        turns.reverse()
    return found


def _repeat(call: Call, seconds: float, least: int) -> list[float]:
    times: list[float] = []
    while sum(times) < seconds or len(times) < least:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def example(shape: list[int], dtype: str, batch: int) -> np.ndarray:
    """Return random images: how long a file takes does not hang on their values."""
    rng = np.random.default_rng(0)
    if dtype == "uint8":
        return rng.integers(0, 256, (batch, *shape), "uint8")
    return rng.normal(size=(batch, *shape)).astype(dtype)


def main() -> None:
    """Time each file with each batch size."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if hasattr(os, "sched_setaffinity"):
        # Some runtimes, such as JAX's, have no option: they count the cores they get.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[-job["threads"] :])
    opened = [
        open_any(file["format"], file["path"], job["threads"]) for file in job["files"]
    ]
    found = []
    for batch in job["batches"]:
        images = [example(f["shape"], f["dtype"], batch) for f in job["files"]]
        calls = [partial(*pair) for pair in zip(opened, images, strict=True)]
        found.append(time_in_turns(calls, job["seconds"]))
    Path(job["result"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
