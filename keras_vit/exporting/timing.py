"""How long files take, each process with nothing but their own runtimes."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from keras_vit.exporting.child_process import start

ANY_SIDE = 224  # Pixels of the pictures for a file that takes any size.
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Latency:
    """How long one call takes.

    Args:
        batch: images per call.
        threads: that the runtime may use.
        num_calls: that were timed, after a warm-up.
        median_ms: time of one call in milliseconds.
        p95_ms: that 95 % of the calls do not exceed, in milliseconds.
        images_per_second: of all calls together.
    """

    batch: int
    threads: int
    num_calls: int
    median_ms: float
    p95_ms: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class TimedFile:
    """A file to time, and what it takes.

    Args:
        format: a key of `FORMATS`, or "keras".
        path: of the file or folder.
        shape: of one image, (H, W, C).
        dtype: of the images.
    """

    format: str
    path: str
    shape: tuple[int, ...]
    dtype: str


def time_files(
    files: Sequence[TimedFile],
    *,
    batches: Sequence[int] = (1,),
    threads: int = 1,
    seconds: float = 1.0,
) -> list[list[Latency]]:
    """Time files in turns in one process of their own, on the CPU.

    Args:
        files: of one format, or of runtimes that share a process well.
        batches: images per call.
        threads: that each runtime may use.
        seconds: that each file is called for, with each batch size.

    Returns:
        For each batch size, the latency of each file.

    Raises:
        RuntimeError: if a file does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        job = {
            "files": [asdict(file) for file in files],
            "batches": list(batches),
            "threads": threads,
            "seconds": seconds,
            "result": str(result),
        }
        (Path(folder) / "job.json").write_text(json.dumps(job), encoding="utf-8")
        # As a script, not a module: only `.keras` files need this package.
        script = Path(__file__).with_name("time_exported.py")
        start(
            [sys.executable, "-P", str(script), str(Path(folder) / "job.json")],
            "Timing",
            keras.backend.backend(),
            # For runtimes that read them before any option.
            {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)},
        )
        found = json.loads(result.read_text(encoding="utf-8"))
    return [
        [summarize(times, batch, threads) for times in of_files]
        for batch, of_files in zip(batches, found, strict=True)
    ]


def image_shape(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return the shape of one image from that of an input; any side is 224 pixels."""
    return tuple(ANY_SIDE if side is None else side for side in shape[1:])


def summarize(times: Sequence[float], batch: int, threads: int) -> Latency:
    """Return the latency that the seconds of many calls amount to."""
    return Latency(
        batch=batch,
        threads=threads,
        num_calls=len(times),
        median_ms=1e3 * float(np.median(times)),
        p95_ms=1e3 * float(np.quantile(times, 0.95)),
        images_per_second=batch * len(times) / sum(times),
    )


def device_name() -> str:
    """Return the processor and the number of its cores that this process may use."""
    name = platform.processor() or platform.machine()
    if _CPU_INFO.is_file():
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
        models = (line.partition(":")[2] for line in lines if "model name" in line)
        name = next(models, name).strip()
    return f"{name}, {num_cores()} cores"


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
