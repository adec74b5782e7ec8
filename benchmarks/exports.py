"""Exported files of one architecture: ours beside the peers', timed in turn.

The same Vision Transformer with random weights, batch 1, in float32 and with int8
weights, written by this package (LiteRT and ONNX), by keras-hub's
`model.export(format="litert")`, by timm through litert-torch, and by timm through
`torch.onnx.export` for onnxruntime. int8 is what each peer's user has at hand: Keras's
`optimizations`, ai-edge-quantizer's dynamic recipe, onnxruntime's `quantize_dynamic`.
All run in one process with one thread, in turn; the ratio is ours (LiteRT) over the
file, so that at most 1.0 means that ours is not slower.

litert-torch cannot be installed beside the versions of constraints.txt, and torch's
ONNX exporter wants onnxscript: give the Python of another environment (`pip install
torch timm litert-torch onnx onnxscript onnxruntime`), or timm's rows are left out.

Command: taskset -c 0 python benchmarks/exports.py [--variant S/16] [--peers PYTHON]
Takes about ten minutes for S/16.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 224
TIMM = {
    "Ti/16": "vit_tiny_patch16_224",
    "S/16": "vit_small_patch16_224",
    "B/16": "vit_base_patch16_224",
}
ROUNDS = 60


def write_ours(variant: str, folder: Path) -> None:
    """Write our files: LiteRT, and ONNX, each in two precisions."""
    import keras
    from litert import build

    import keras_vit

    keras.utils.set_random_seed(0)
    model = build(variant)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (SIZE, SIZE, 3), "uint8") for _ in range(2)]
    for name, ending in (("litert", "tflite"), ("onnx", "onnx")):
        for quantization in (None, "dynamic_int8"):
            path = folder / f"ours {name}, {quantization or 'float32'}.{ending}"
            keras_vit.export(
                model,
                path,
                format=name,
                quantization=quantization,
                images=images,
                report=False,
            )


def write_keras_hub(variant: str, folder: Path) -> None:
    """Write keras-hub's files, with stock Keras's exporter."""
    import keras
    import tensorflow as tf
    from peers import build_keras_hub

    model = build_keras_hub(variant)
    image = keras.InputSpec(shape=(1, SIZE, SIZE, 3), dtype="float32", name="images")
    for name in ("float32", "dynamic_int8"):
        path = folder / f"keras-hub litert, {name}.tflite"
        int8 = {"optimizations": [tf.lite.Optimize.DEFAULT]}
        options = int8 if name == "dynamic_int8" else {}
        model.export(str(path), format="litert", input_signature=[image], **options)


def timm_model(variant: str) -> tuple[Any, Any]:
    """Return timm's model and one image."""
    # torchvision of another build than torch has no operators; timm needs none of them.
    sys.modules.setdefault(
        "torchvision._meta_registrations", types.ModuleType("registrations")
    )
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(TIMM[variant], pretrained=False).eval()
    return model, torch.randn(1, 3, SIZE, SIZE)


def write_timm_onnx(variant: str, folder: Path) -> None:
    """Write timm's ONNX files."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model, image = timm_model(variant)
    path = folder / "timm onnx, float32.onnx"
    torch.onnx.export(model, (image,), str(path), dynamo=True, external_data=False)
    prepared = folder / "prepared"
    quant_pre_process(str(path), str(prepared))
    target = folder / "timm onnx, dynamic_int8.onnx"
    quantize_dynamic(str(prepared), str(target), weight_type=QuantType.QInt8)
    prepared.unlink()


def write_timm_litert(variant: str, folder: Path) -> None:
    """Write timm's LiteRT files; runs in the other environment."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    model, image = timm_model(variant)
    path = folder / "timm litert-torch, float32.tflite"
    litert_torch.convert(model, (image,)).export(str(path))
    maker = quantizer.Quantizer(str(path), recipe.dynamic_wi8_afp32())
    maker.quantize().export_model(
        str(folder / "timm litert-torch, dynamic_int8.tflite")
    )


WRITERS: dict[str, tuple[Callable[[str, Path], None], str]] = {
    "ours": (write_ours, "jax"),
    "keras-hub": (write_keras_hub, "tensorflow"),
    "timm onnx": (write_timm_onnx, "torch"),
    "timm litert-torch": (write_timm_litert, "torch"),
}


def write(name: str, python: str, variant: str, folder: Path) -> None:
    """Let a process of its own write the files of one row."""
    environment = {**os.environ, "KERAS_BACKEND": WRITERS[name][1]}
    command = [python, __file__, "--write", name, "--variant", variant, str(folder)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{name} wrote no files:\n{result.stderr[-2000:]}")


def litert(path: Path) -> tuple[Callable[[], Any], str]:
    """Return a call of a `.tflite` file, and its ops and XNNPACK partitions."""
    from ai_edge_litert.interpreter import Interpreter

    plain = Interpreter(model_path=str(path), num_threads=1)
    plain.allocate_tensors()
    feed = plain.get_input_details()[0]
    rng = np.random.default_rng(0)
    plain.set_tensor(feed["index"], rng.normal(size=feed["shape"]).astype("float32"))
    ops = Counter(op["op_name"] for op in plain._get_ops_details())
    pieces = ops.pop("DELEGATE", 0)
    return plain.invoke, f"{sum(ops.values())} | {pieces}"


def onnx(path: Path) -> tuple[Callable[[], Any], str]:
    """Return a call of an `.onnx` file, and its nodes."""
    import onnx as library
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    feed = session.get_inputs()[0]
    shape = [n if isinstance(n, int) else 1 for n in feed.shape]
    image = np.random.default_rng(0).normal(size=shape).astype("float32")
    nodes = len(library.load(str(path)).graph.node)
    return lambda: session.run(None, {feed.name: image}), f"{nodes} | -"


def in_turn(calls: dict[str, Callable[[], Any]]) -> dict[str, np.ndarray]:
    """Return seconds of each call, (rounds,), all in turn."""
    for call in calls.values():
        call()
        call()
    names = list(calls)
    times = np.zeros((ROUNDS, len(names)))
    for i in range(ROUNDS):
        for j in np.roll(np.arange(len(names)), i):
            start = time.perf_counter()
            calls[names[j]]()
            times[i, j] = time.perf_counter() - start
    return {name: times[:, j] for j, name in enumerate(names)}


def measure(folder: Path) -> None:
    """Time the files and print the table."""
    paths = sorted(folder.glob("*.*"))
    made = {p.stem: (litert if p.suffix == ".tflite" else onnx)(p) for p in paths}
    times = in_turn({name: call for name, (call, _) in made.items()})
    print("| file | MB | ops | partitions | ms | ours / it | quartiles |")
    print("|---|---|---|---|---|---|---|")
    for precision in ("float32", "dynamic_int8"):
        base = times[f"ours litert, {precision}"]
        for path in paths:
            if not path.stem.endswith(precision):
                continue
            mine = times[path.stem]
            low, ratio, high = np.percentile(base / mine, (25, 50, 75))
            print(
                f"| {path.stem} | {path.stat().st_size / 1e6:.1f} "
                f"| {made[path.stem][1]} | {1e3 * np.median(mine):.1f} "
                f"| {ratio:.2f} | {low:.2f} to {high:.2f} |"
            )


def main() -> None:
    """Write all files, then time them."""
    parser = argparse.ArgumentParser(description="Our exported files and the peers'.")
    parser.add_argument("folder", nargs="?", type=Path, help="default: a temporary one")
    parser.add_argument("--variant", default="S/16", choices=TIMM)
    parser.add_argument("--peers", metavar="PYTHON", help="with timm and litert-torch")
    parser.add_argument("--write", choices=WRITERS, help="write one row and stop")
    options = parser.parse_args()
    if options.write:
        WRITERS[options.write][0](options.variant, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not any(folder.iterdir()):
            for name in WRITERS:
                python = options.peers if name.startswith("timm") else sys.executable
                if python:
                    write(name, python, options.variant, folder)
        measure(folder)


if __name__ == "__main__":
    main()
