"""Parity with transformers: n of N classes, of each model type that is a plain ViT.

Each class gets random weights, is written by transformers itself to a folder and loaded
by `keras_vit.load`. Error: largest difference of logits or pooled output, relative to
the largest value.

Command: KERAS_BACKEND=jax python benchmarks/parity_transformers.py [--only WILDCARD]
[--all]. Takes about a minute per backend on two cores. Target: all below 1e-4.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from backends import run_on_each_backend

sys.path.insert(0, str(Path(__file__).parent.parent))
TOLERANCE = 1e-4


def check(case: Any, folder: str) -> float:
    """Return the relative error of one class."""
    import keras

    import keras_vit
    from tests import transformers_peers as peers

    model = peers.make(case)
    peers.write(model, folder)
    ours = keras_vit.load(folder)
    if ours.count_params() != ours.config.num_parameters:
        raise ValueError(
            f"parameter counts differ: {ours.count_params()} weights, "
            f"{ours.config.num_parameters} by the config"
        )
    shape = (2, *ours.input_shape[1:])
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = peers.call(case, model, images)
    found = keras.ops.convert_to_numpy(ours(images))
    if found.shape != expected.shape:
        raise ValueError(f"shapes differ: {found.shape} and {expected.shape}")
    return float(abs(found - expected).max() / abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="wildcard of cases")
    parser.add_argument("--all", action="store_true", help="all three backends")
    options = parser.parse_args()
    if options.all:
        run_on_each_backend(__file__, "--only", options.only)
        return
    import keras

    from tests.transformers_peers import CASES

    good, worst, total = 0, 0.0, 0
    for name, case in CASES.items():
        if not fnmatch(name, options.only):
            continue
        total += 1
        with tempfile.TemporaryDirectory() as folder:
            try:
                error = check(case, folder)
            except Exception as error:  # Count it and go on.
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                if options.only == name:
                    traceback.print_exc()
                continue
        keras.backend.clear_session()
        if error < TOLERANCE:
            good += 1
            worst = max(worst, error)
        else:
            print(f"{name}: error {error:.1e}", flush=True)
    types = len({case.cls for case in CASES.values()})
    backend = keras.backend.backend()
    print(f"| {backend} | {good} of {total} ({types} classes) | {worst:.1e} |")


if __name__ == "__main__":
    main()
