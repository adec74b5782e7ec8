"""Speed of our model against keras-hub's: one forward pass and one train step.

Both have the same shape, parameter count, float32 weights, dropout 0 and default
compilation; the train step is `train_on_batch` with AdamW and sparse cross-entropy from
logits. They take turns in one process. Ratio: time of keras-hub / time of ours, median
over rounds with quartiles; 1 or more means that ours is not slower. On a machine that
others use too, `taskset -c 0` pins it to one core, which gives steadier ratios.

    KERAS_BACKEND=jax python benchmarks/speed.py    one backend, 2 to 4 minutes
    python benchmarks/speed.py --all                the three backends, 10 minutes
"""

from __future__ import annotations

import argparse
import sys
from functools import partial

import keras
import numpy as np
from backends import run_on_each_backend
from paired_timing import describe, paired_times
from peers import build_keras_hub, build_ours

HEADER = """\
| backend | step | ours (ms) | keras-hub (ms) | ratio | quartiles | parameters |
|---|---|---|---|---|---|---|"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="S/16")
    parser.add_argument("--batch", type=int, default=8, help="images")
    parser.add_argument("--rounds", type=int, default=20, help="pairs per step")
    parser.add_argument("--all", action="store_true", help="the three backends")
    parser.add_argument("--rows-only", action="store_true", help="no table header")
    return parser.parse_args()


def compile_model(model: keras.Model) -> keras.Model:
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def measure(variant: str, batch: int, rounds: int) -> None:
    """Print one table row per step on the current backend."""
    ours = compile_model(build_ours(variant))
    hub = compile_model(build_keras_hub(variant))
    parameters = f"{ours.count_params():,} and {hub.count_params():,}"
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *ours.input_shape[1:])).astype("float32")
    labels = rng.integers(0, ours.output_shape[-1], size=batch)
    steps = {
        "forward": lambda model: model.predict_on_batch(images),
        "train": lambda model: model.train_on_batch(images, labels),
    }
    for name, step in steps.items():
        times = paired_times(partial(step, ours), partial(step, hub), rounds)
        backend = keras.backend.backend()
        print(f"| {backend} | {name} | {describe(times)} | {parameters} |", flush=True)


def main() -> None:
    args = parse_arguments()
    if not args.rows_only:
        print(HEADER, flush=True)
    if args.all:
        arguments = [a for a in sys.argv[1:] if a != "--all"]
        run_on_each_backend(__file__, *arguments, "--rows-only")
    else:
        measure(args.variant, args.batch, args.rounds)


if __name__ == "__main__":
    main()
