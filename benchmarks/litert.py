"""The exported LiteRT file of S/16: error, XNNPACK partitions and ops.

Exports S/16 with random weights (a random head too: an untrained one is zero) on real
photographs, then asks the LiteRT interpreter how much of the graph XNNPACK took.

Command: KERAS_BACKEND=jax python benchmarks/litert.py [--variant S/16]
Takes about two minutes. Targets: one partition, no Flex or custom op, error <= 1e-4.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_sample_images

import keras_vit


def build(variant: str) -> keras_vit.ViT:
    """Return a model whose logits differ between images and are of order one."""
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT.from_variant(variant, preprocessing=keras_vit.Preprocessing())
    head = model.get_layer("head").logits
    rng = np.random.default_rng(0)
    dim = head.kernel.shape[0]
    head.kernel.assign(rng.normal(0, dim**-0.5, size=head.kernel.shape))
    return model


def partitions(path: Path) -> int:
    """Return in how many pieces XNNPACK took the graph."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    # Private, but the only way to see what the delegate did.
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    return names.count("DELEGATE")


def main() -> None:
    """Export, inspect and print."""
    parser = argparse.ArgumentParser(description="The LiteRT file of a variant.")
    parser.add_argument("--variant", default="S/16")
    options = parser.parse_args()
    model = build(options.variant)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        photos = load_sample_images().images
        report = keras_vit.export(model, path, format="litert", images=photos)
        pieces = partitions(path)
    custom = [name for name in report.ops if name.startswith("CUSTOM")]
    print("| backend | variant | MB | ops | Flex or custom | partitions | error |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {keras.backend.backend()} | {options.variant} "
        f"| {report.num_bytes / 1e6:.1f} | {sum(report.ops.values())} | {len(custom)} "
        f"| {pieces} | {report.max_difference:.1e} |"
    )


if __name__ == "__main__":
    main()
