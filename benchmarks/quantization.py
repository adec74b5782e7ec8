"""The precisions of a LiteRT file: size, accuracy, error and latency.

Exports a model in each precision and runs the files side by side, one thread, the
precisions in turn, so that a busy machine slows all of them. The digits model of
saved_models/ is judged on the 599 images it was not trained on and calibrated on 100
that it was. `--s16 FILE` takes the model of train_s16.py instead, with as many of its
images. int16x8 of S/16 would take an hour: name the others.

Command: KERAS_BACKEND=jax python benchmarks/quantization.py
    [--s16 s16.keras --precisions float32 float16 dynamic_int8 ...] [--output FOLDER]
Takes about three minutes for the digits, twenty for S/16. Targets: accuracy within half
a point of float32; dynamic_int8 of S/16 at most 23 MB, 0.4 of float32's latency, and
the same top-1 for 99 % of the images.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from train_s16 import pieces

import keras_vit
from keras_vit.exporting.quantizations import QUANTIZATIONS

DIGITS = Path(__file__).parents[1] / "saved_models" / "digits" / "model.keras"
NUM_CALIBRATION = 100
ROUNDS = 15


@dataclass(frozen=True)
class Case:
    """A model with the pictures that it is calibrated and judged on."""

    model: keras_vit.ViT
    calibration: list[np.ndarray]
    pictures: list[np.ndarray]
    labels: np.ndarray


def read(path: Path, data: keras_vit.ImageData) -> Case:
    """Return a model and its held-out images."""
    model: Any = keras.saving.load_model(path, compile=False)
    train, test = data.part("train"), data.part("test")
    shown = list(train.pictures())[:NUM_CALIBRATION]
    return Case(model, shown, list(test.pictures()), np.asarray(test.labels))


def interpreters(paths: dict[str, Path]) -> dict[str, Any]:
    """Return one interpreter with one thread for each file."""
    from ai_edge_litert.interpreter import Interpreter

    found = {}
    for name, path in paths.items():
        found[name] = Interpreter(model_path=str(path), num_threads=1)
        found[name].allocate_tensors()
    return found


def outputs(interpreter: Any, images: list[np.ndarray]) -> np.ndarray:
    """Return what a file computes, (N, K)."""
    feed = interpreter.get_input_details()[0]["index"]
    given = interpreter.get_output_details()[0]["index"]
    found = []
    for image in images:
        interpreter.set_tensor(feed, image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(given)[0])
    return np.stack(found)


def latencies(runs: dict[str, Any]) -> dict[str, float]:
    """Return milliseconds per image: the median over rounds of all files in turn."""
    # As many calls as fit in a tenth of a second of float32.
    start = time.perf_counter()
    runs["float32"].invoke()
    calls = max(1, int(0.1 / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, interpreter in runs.items():
            repeats = 1 if name == "int16x8" else calls
            start = time.perf_counter()
            for _ in range(repeats):
                interpreter.invoke()
            times[name].append((time.perf_counter() - start) / repeats)
    return {name: 1e3 * float(np.median(values)) for name, values in times.items()}


def partitions(interpreter: Any) -> int:
    """Return in how many pieces XNNPACK took the graph."""
    # Private, but the only way to see what the delegate did.
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    return names.count("DELEGATE")


def row(name: str, cells: list[str]) -> str:
    """Return one row of a Markdown table."""
    return f"| {' | '.join([name, *cells])} |"


def main() -> None:
    """Export in each precision, run the files and print a table."""
    parser = argparse.ArgumentParser(description="The precisions of a LiteRT file.")
    parser.add_argument("--s16", type=Path, metavar="FILE", help="of train_s16.py")
    parser.add_argument(
        "--precisions", nargs="+", default=[*QUANTIZATIONS], choices=QUANTIZATIONS
    )
    parser.add_argument("--output", type=Path, help="a folder that keeps the files")
    options = parser.parse_args()
    if options.s16:
        case = read(options.s16, pieces())
    else:
        case = read(DIGITS, keras_vit.load_data("digits"))
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        folder = options.output or Path(scratch)
        paths = {}
        for name in options.precisions:
            precision = QUANTIZATIONS[name]
            report = keras_vit.export(
                case.model,
                folder / f"{name}.tflite",
                overwrite=True,
                quantization=name,
                calibration=case.calibration if precision.needs_calibration else None,
                images=case.pictures[:2],
                report=False,
            )
            paths[name] = report.path
        sizes = {name: path.stat().st_size for name, path in paths.items()}
        runs = interpreters(paths)
        images = [case.model.preprocessing(picture) for picture in case.pictures]
        found = {name: outputs(run, images) for name, run in runs.items()}
        times = latencies(runs)
        parts = {name: partitions(run) for name, run in runs.items()}
    titles = ["MB", "accuracy", "agreement", "difference", "latency", "partitions"]
    print(row("precision", titles))
    print(row("---", ["---"] * len(titles)))
    exact = found["float32"]
    for name, values in found.items():
        cells = [
            f"{sizes[name] / 1e6:.3f}",
            f"{np.mean(values.argmax(-1) == case.labels):.4f}",
            f"{np.mean(values.argmax(-1) == exact.argmax(-1)):.4f}",
            f"{abs(values - exact).max():.3f}",
            f"{times[name] / times['float32']:.2f}",
            str(parts[name]),
        ]
        print(row(name, cells))
    print(f"\nfloat32: {times['float32']:.2f} ms per image, one thread.")


if __name__ == "__main__":
    main()
