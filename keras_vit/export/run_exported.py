"""Run an exported file with nothing but its own runtime; a script, not a module.

Usage: python run_exported.py FORMAT PATH INPUTS.npz OUTPUTS.npy
"""

from __future__ import annotations

import importlib
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


def onnx_runner(
    path: str, threads: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch to the outputs of an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: one for each core.
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    batch = given.shape[0]

    def run(images: np.ndarray) -> np.ndarray:
        outputs = session.run(names, {given.name: images})
        return main_output(dict(zip(names, outputs, strict=True)))

    # An unknown size is a name.
    return lambda images: in_batches(run, images, None if type(batch) is str else batch)


def openvino_runner(
    path: str, threads: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch to the outputs of an OpenVINO folder."""
    core = import_openvino().Core()
    # Some processors would compute in half precision by default.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    model = core.compile_model(f"{path}/openvino_model.xml", "CPU", options)
    batch = model.input(0).partial_shape[0]

    def run(images: np.ndarray) -> np.ndarray:
        found = model(images)
        return main_output({key.any_name: value for key, value in found.items()})

    size = None if batch.is_dynamic else batch.get_length()
    return lambda images: in_batches(run, images, size)


def import_openvino() -> Any:
    """Return the module `openvino`, without its telemetry.

    Its import would fork a process that sends usage data, which is not ours to allow.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore
    return importlib.import_module("openvino")


def torch_runner(
    path: str, threads: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch to the outputs of a `.pt2` file."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    program = torch.export.load(path)
    module = program.module()
    (name,) = program.graph_signature.user_inputs
    (node,) = (node for node in program.graph.nodes if node.name == name)
    batch = node.meta["val"].shape[0]

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return main_output(module(torch.as_tensor(images))).numpy()

    # An unknown size is a symbol.
    return lambda images: in_batches(run, images, batch if type(batch) is int else None)


def stablehlo_runner(
    path: str, threads: int | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch to the outputs of a file of `jax.export`.

    JAX has no option for threads: it takes as many as the process has cores.
    """
    from jax import export

    with open(path, "rb") as file:
        exported = export.deserialize(bytearray(file.read()))
    batch = exported.in_avals[0].shape[0]

    def run(images: np.ndarray) -> np.ndarray:
        return np.asarray(main_output(exported.call(images)))

    return lambda images: in_batches(run, images, batch if type(batch) is int else None)


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
    "onnx": onnx_runner,
    "openvino": openvino_runner,
    "torch": torch_runner,
    "stablehlo": stablehlo_runner,
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
