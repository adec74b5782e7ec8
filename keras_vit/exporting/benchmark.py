"""How fast a file is, over batch sizes and threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from keras_vit.exporting.formats import FORMATS, find_format
from keras_vit.exporting.markdown import markdown_table
from keras_vit.exporting.timing import (
    Latency,
    TimedFile,
    device_name,
    image_shape,
    num_cores,
    time_files,
)
from keras_vit.keras_file import load_keras
from keras_vit.metadata import read_metadata
from keras_vit.pages.in_notebook import InNotebook, plain_facts, plain_table

KERAS = "keras"
_TITLES = ("images per call", "threads", "median ms", "95 % ms", "images per second")


@dataclass(frozen=True, kw_only=True)
class Benchmark(InNotebook):
    """How fast a file is.

    Args:
        path: of the file or folder.
        format: a key of `FORMATS`, or "keras".
        backend: of Keras that ran a `.keras` file; None for others.
        device: that it ran on.
        fixed_batch: images per call if the file takes no other number; None: any.
        rows: latencies, for each number of threads those of each batch size.

    Example:
        ```python
        found = keras_vit.benchmark("photos.tflite", seconds=0.1)
        found.format, found.fixed_batch  # ('litert', 1)
        found.rows[0].median_ms > 0, found.rows[0].images_per_second > 0  # (True, True)
        ```
    """

    path: Path
    format: str
    backend: str | None
    device: str
    fixed_batch: int | None
    rows: tuple[Latency, ...]

    def table(self) -> str:
        """Return the latencies as a Markdown table."""
        return markdown_table(_TITLES, self._cells())

    def _cells(self) -> list[tuple[object, ...]]:
        return [
            (
                row.batch,
                row.threads,
                f"{row.median_ms:.3f}",
                f"{row.p95_ms:.3f}",
                f"{row.images_per_second:.1f}",
            )
            for row in self.rows
        ]

    def _notebook(self) -> Iterator[str]:
        yield plain_facts([("file", self.path), ("format", self.format)])
        yield plain_table(f"Latency on {self.device}", _TITLES, self._cells())

    def as_json(self) -> dict[str, Any]:
        """Return the benchmark as JSON values."""
        return {**asdict(self), "path": str(self.path)}


def benchmark(
    path: str | Path,
    *,
    batches: Sequence[int] = (1, 8),
    threads: Sequence[int] = (1,),
    seconds: float = 1.0,
) -> Benchmark:
    """Measure latency and throughput of a saved or exported model, on the CPU.

    The file runs on random images in a process of its own, with nothing but its
    runtime; a `.keras` file runs under the backend of this process.

    Args:
        path: of a `.keras` file, or of a file or folder that `export` wrote.
        batches: images per call. A file that takes a fixed number is measured with
            that alone. Default 1 and 8.
        threads: that the runtime may use, one process for each. Default 1.
        seconds: of each measurement, after a warm-up. Default 1.

    Returns:
        A `Benchmark`: a row for each number of threads and batch size, in milliseconds.

    Raises:
        FileNotFoundError: if there is nothing at the path.
        RuntimeError: if the runtime cannot run the file.
        ValueError: if the file is of another kind, or an option is out of its range.

    Example:
        ```python
        found = keras_vit.benchmark("photos.tflite", threads=[1, 2], seconds=0.1)
        print(found.table())
        # | images per call | threads | median ms | ...
        ```
    """
    path = Path(path).expanduser()
    _check_options(batches, threads, seconds)
    file, fixed = _open(path)
    measured = batches if fixed is None else [fixed]
    rows: list[Latency] = []
    for count in threads:
        found = _time(file, measured, count, seconds)
        rows += [latency for (latency,) in found]
    return Benchmark(
        path=path,
        format=file.format,
        backend=keras.backend.backend() if file.format == KERAS else None,
        device=device_name(),
        fixed_batch=fixed,
        rows=tuple(rows),
    )


def _time(
    file: TimedFile, batches: Sequence[int], threads: int, seconds: float
) -> list[list[Latency]]:
    try:
        return time_files([file], batches=batches, threads=threads, seconds=seconds)
    except RuntimeError as error:
        # The last line of the child process is what its runtime said.
        reason = str(error).strip().splitlines()[-1].strip()
        raise RuntimeError(
            f"{file.path!r} could not be run: {reason}. Export it again, or install "
            f"what runs {file.format} files."
        ) from error


def _check_options(
    batches: Sequence[int], threads: Sequence[int], seconds: float
) -> None:
    if not batches or min(batches) < 1:
        raise ValueError(
            "batches must be numbers of images of at least 1, received "
            f"batches={list(batches)}. Pass 1 for one image per call."
        )
    if not threads or min(threads) < 1 or max(threads) > num_cores():
        raise ValueError(
            f"threads must be from 1 to the {num_cores()} cores of this machine, "
            f"received threads={list(threads)}. Leave the others out."
        )
    if not seconds > 0:
        raise ValueError(
            f"seconds must be more than 0, received seconds={seconds}. Pass 1 or more "
            "for steady figures."
        )


def _open(path: Path) -> tuple[TimedFile, int | None]:
    """Return what there is to run, and its number of images per call if fixed."""
    if not path.exists():
        raise FileNotFoundError(f"No file or folder {str(path)!r}. Check the path.")
    if path.suffix == ".keras":
        model: Any = load_keras(path)
        num_inputs = len(getattr(model, "inputs", None) or ())
        if num_inputs != 1:
            raise ValueError(
                "A model is measured with one input of images, received "
                f"{num_inputs} in {str(path)!r}. Pass a functional model of one input."
            )
        shape, dtype, name = model.input_shape, model.inputs[0].dtype, KERAS
    else:
        name = find_format(path)
        if name is None:
            kinds = [
                row.suffix or f"folder with {row.marker}" for row in FORMATS.values()
            ]
            raise ValueError(
                f"A model is one of {['.keras', *dict.fromkeys(kinds)]}, received "
                f"{str(path)!r}. Pass a file that export wrote."
            )
        inputs = read_metadata(path)["input"]
        shape, dtype = inputs["shape"], inputs["dtype"]
    file = TimedFile(
        format=name, path=str(path), shape=image_shape(shape), dtype=str(dtype)
    )
    return file, shape[0]
