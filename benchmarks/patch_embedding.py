"""Patch embedding: reshape and matrix product against a strided convolution.

Compares our `Patches` and an `EinsumDense` with `Conv2D(strides=patch)` and `Reshape`,
which hold the same weights and give the same numbers: 224 px, patch 16, D = 384. On
TensorFlow also as LiteRT files, one thread, one image. Ratio: time of the convolution /
time of ours, median over rounds with quartiles; 1 or more means ours is not slower.

    KERAS_BACKEND=jax python benchmarks/patch_embedding.py    one backend, 1 minute
    python benchmarks/patch_embedding.py --all                three backends, 3 minutes
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from backends import run_on_each_backend
from paired_timing import Step, describe, paired_times

from keras_vit.layers import Patches

IMAGE = (224, 224, 3)  # pixels, pixels, channels
PATCH = 16  # pixels
NUM_PATCHES = (IMAGE[0] // PATCH) * (IMAGE[1] // PATCH)
HIDDEN_DIM = 384
INVOKES = 20  # LiteRT runs per measurement; one takes about 1 ms
HEADER = """\
| backend | step | ours (ms) | convolution (ms) | ratio | quartiles |
|---|---|---|---|---|---|"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=50, help="pairs per step")
    parser.add_argument("--all", action="store_true", help="the three backends")
    parser.add_argument("--rows-only", action="store_true", help="no table header")
    return parser.parse_args()


def build_ours() -> keras.Model:
    dense = keras.layers.EinsumDense(
        "btd,df->btf", output_shape=(None, HIDDEN_DIM), bias_axes="f"
    )
    return keras.Sequential([keras.Input(IMAGE), Patches(PATCH), dense])


def build_convolution() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(IMAGE),
            keras.layers.Conv2D(HIDDEN_DIM, PATCH, strides=PATCH),
            keras.layers.Reshape((NUM_PATCHES, HIDDEN_DIM)),
        ]
    )


def measure(batch: int, rounds: int) -> None:
    """Print one table row per step on the current backend."""
    ours, convolution = build_ours(), build_convolution()
    kernel, bias = convolution.get_weights()
    ours.set_weights([kernel.reshape(-1, HIDDEN_DIM), bias])
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *IMAGE)).astype("float32")
    targets = np.zeros((batch, NUM_PATCHES, HIDDEN_DIM), "float32")
    outputs = [m.predict_on_batch(images) for m in (ours, convolution)]
    np.testing.assert_allclose(*outputs, atol=1e-4)
    for model in (ours, convolution):
        model.compile("sgd", "mse")
    steps: dict[str, Callable[[keras.Model], object]] = {
        "forward": lambda model: model.predict_on_batch(images),
        "train": lambda model: model.train_on_batch(images, targets),
    }
    for name, step in steps.items():
        print_row(name, partial(step, ours), partial(step, convolution), rounds)
    if keras.backend.backend() == "tensorflow":
        first = litert_step(ours, images[:1])
        second = litert_step(convolution, images[:1])
        print_row(f"LiteRT, {INVOKES} times 1 image", first, second, rounds)


def print_row(name: str, first: Step, second: Step, rounds: int) -> None:
    backend = keras.backend.backend()
    times = paired_times(first, second, rounds)
    print(f"| {backend} | {name} | {describe(times)} |", flush=True)


def litert_step(model: keras.Model, image: np.ndarray) -> Step:
    """Return a function that runs the model as a LiteRT file on one thread."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    # Through a SavedModel the converter freezes the weights to constants, which
    # XNNPACK needs to pack them.
    with tempfile.TemporaryDirectory() as folder:
        signature = [keras.InputSpec(shape=image.shape, dtype="float32")]
        model.export(folder, verbose=False, input_signature=signature)
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)

    def run() -> None:
        for _ in range(INVOKES):
            interpreter.invoke()

    return run


def main() -> None:
    args = parse_arguments()
    if not args.rows_only:
        print(HEADER, flush=True)
    if args.all:
        arguments = [a for a in sys.argv[1:] if a != "--all"]
        run_on_each_backend(__file__, *arguments, "--rows-only")
    else:
        measure(args.batch, args.rounds)


if __name__ == "__main__":
    main()
