"""Run an exported file with nothing but its own runtime; a script, not a module.

Usage: python run_exported.py FORMAT PATH INPUTS.npz OUTPUTS.npy
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

# From images to what the model computes for them.
Runner = Callable[[np.ndarray], np.ndarray]
# From images to outputs by name, and the number of images that it takes; None: any.
Opened = tuple[Callable[[np.ndarray], dict[str, Any]], int | None]


def open_saved_model(path: str, threads: int | None) -> Opened:
    """Open a SavedModel."""
    import tensorflow as tf

    if threads is not None:  # Of the process, so it has to be the first there.
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(path)
    signature = loaded.signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()

    def run(images: np.ndarray) -> dict[str, Any]:
        # Closes over `loaded`, which owns the variables of the signature.
        return signature(**{name: tf.constant(images)}) if loaded else {}

    return run, spec.shape[0]


def open_litert(path: str, threads: int | None) -> Opened:
    """Open a LiteRT file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    runner = interpreter.get_signature_runner("serving_default")
    ((name, details),) = runner.get_input_details().items()
    batch = int(details["shape_signature"][0])
    given = runner.get_output_details()

    def run(images: np.ndarray) -> dict[str, Any]:
        found = runner(**{name: to_integers(images, details)})
        return {key: to_floats(value, given[key]) for key, value in found.items()}

    return run, None if batch < 0 else batch


def to_integers(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Return floats as the integers that a file takes for them; others as they are."""
    scale, zero_point = details["quantization"]
    if not scale or not np.issubdtype(values.dtype, np.floating):
        return values
    limits = np.iinfo(details["dtype"])
    integers = np.rint(values / np.float32(scale)) + zero_point
    return np.clip(integers, limits.min, limits.max).astype(details["dtype"])


def to_floats(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """Return integers as the floats that they stand for; others as they are."""
    scale, zero_point = details["quantization"]
    if not scale or np.issubdtype(values.dtype, np.floating):
        return values
    return (values.astype("float32") - zero_point) * np.float32(scale)


def open_onnx(path: str, threads: int | None) -> Opened:
    """Open an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0  # 0: one for each core.
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    batch = given.shape[0]

    def run(images: np.ndarray) -> dict[str, Any]:
        return dict(zip(names, session.run(names, {given.name: images}), strict=True))

    return run, None if type(batch) is str else batch  # An unknown size is a name.


def open_openvino(path: str, threads: int | None) -> Opened:
    """Open an OpenVINO folder."""
    core = import_openvino().Core()
    # Some processors would compute in half precision by default.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    model = core.compile_model(f"{path}/openvino_model.xml", "CPU", options)
    batch = model.input(0).partial_shape[0]

    def run(images: np.ndarray) -> dict[str, Any]:
        return {key.any_name: value for key, value in model(images).items()}

    return run, None if batch.is_dynamic else batch.get_length()


def import_openvino() -> Any:
    """Return the module `openvino`, without its telemetry.

    Its import would fork a process that sends usage data, which is not ours to allow.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore
    return importlib.import_module("openvino")


def open_torch(path: str, threads: int | None) -> Opened:
    """Open a `.pt2` file."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    program = torch.export.load(path)
    module = program.module()
    (name,) = program.graph_signature.user_inputs
    (node,) = (node for node in program.graph.nodes if node.name == name)
    batch = node.meta["val"].shape[0]

    def run(images: np.ndarray) -> dict[str, Any]:
        with torch.no_grad():
            return module(torch.as_tensor(images))

    return run, batch if type(batch) is int else None  # An unknown size is a symbol.


def open_stablehlo(path: str, threads: int | None) -> Opened:
    """Open a file of `jax.export`.

    JAX has no option for threads: it takes as many as the process has cores.
    """
    from jax import export

    with open(path, "rb") as file:
        exported = export.deserialize(bytearray(file.read()))
    batch = exported.in_avals[0].shape[0]
    return exported.call, batch if type(batch) is int else None


OPENERS: dict[str, Callable[[str, int | None], Opened]] = {
    "litert": open_litert,
    "saved_model": open_saved_model,
    "onnx": open_onnx,
    "openvino": open_openvino,
    "torch": open_torch,
    "stablehlo": open_stablehlo,
}


def open_file(format: str, path: str, threads: int | None = None) -> Runner:
    """Return the function from any number of images to what the model computes.

    Args:
        format: a key of `OPENERS`.
        path: of the file or folder.
        threads: that the runtime may use. Default: its own choice.
    """
    run, batch = OPENERS[format](path, threads)

    def main_output(images: np.ndarray) -> np.ndarray:
        # The attention map may stand beside what the model computes.
        found = run(images).items()
        return np.asarray(next(value for name, value in found if name != "attention"))

    if batch is None:
        return main_output
    return lambda images: in_batches(main_output, images, batch)


def in_batches(run: Runner, images: np.ndarray, batch: int) -> np.ndarray:
    """Feed images to a runtime that takes `batch` at a time."""
    outputs = []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        missing = batch - len(part)
        padded = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        outputs.append(run(padded)[: len(part)])
    return np.concatenate(outputs)


def main() -> None:
    """Run each input and save the outputs, one row for each."""
    kind, path, inputs, outputs = sys.argv[1:]
    run = open_file(kind, path)
    with np.load(inputs) as arrays:
        results = [run(arrays[name][None]) for name in sorted(arrays.files)]
    if "keras_vit" in sys.modules:
        raise RuntimeError("The exported file must run without keras_vit.")
    np.save(outputs, np.concatenate(results))


if __name__ == "__main__":
    main()
