"""Run an exported file with nothing but its own runtime; a script, not a module.

Usage: python run_exported.py FORMAT PATH INPUTS.npz OUTPUTS.npy
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def saved_model_runner(
    path: str, threads: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch to the outputs of a SavedModel."""
    import tensorflow as tf

    if threads is not None:  # Of the process, so it has to be the first there.
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()
    batch = spec.shape[0]

    def run(images: np.ndarray) -> np.ndarray:
        # Closes over `loaded`, which owns the variables of the signature.
        outputs = signature(**{name: tf.constant(images)}) if loaded else {}
        return main_output(outputs).numpy()

    return lambda images: in_batches(run, images, batch)


def litert_runner(
    path: str, threads: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch to the outputs of a LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    runner = interpreter.get_signature_runner("serving_default")
    ((name, details),) = runner.get_input_details().items()
    batch = int(details["shape_signature"][0])

    def run(images: np.ndarray) -> np.ndarray:
        return main_output(runner(**{name: images}))

    return lambda images: in_batches(run, images, None if batch < 0 else batch)


def main_output(outputs: dict[str, Any]) -> Any:
    """Return what the model computes: the attention map may stand beside it."""
    return next(value for name, value in outputs.items() if name != "attention")


def in_batches(
    run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, batch: int | None
) -> np.ndarray:
    """Feed images to a runtime that takes `batch` at a time, or any number if None."""
    if batch is None:
        return run(images)
    outputs = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        missing = batch - len(part)
        padded = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        outputs.append(run(padded)[: len(part)])
    return np.concatenate(outputs)


# From a path and a number of threads (None: the runtime's own) to what runs the file.
RUNNERS: dict[str, Callable[..., Callable[[np.ndarray], np.ndarray]]] = {
    "litert": litert_runner,
    "saved_model": saved_model_runner,
}


def main() -> None:
    """Run each input and save the outputs, one row for each."""
    kind, path, inputs, outputs = sys.argv[1:]
    runner = RUNNERS[kind](path)
    with np.load(inputs) as arrays:
        results = [runner(arrays[name][None]) for name in sorted(arrays.files)]
    if "keras_vit" in sys.modules:
        raise RuntimeError("The exported file must run without keras_vit.")
    np.save(outputs, np.concatenate(results))


if __name__ == "__main__":
    main()
