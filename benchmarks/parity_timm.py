"""Parity with timm for each of its plain ViTs: logits and pre-logits of n of 244.

Each architecture is shrunk (2 blocks, small width, an image that is not square), gets
random weights, is written by timm itself to a folder and loaded by `keras_vit.load`;
parameter counts are equal, and `keras_vit.save(format="timm")` writes the same bytes.
Error: largest difference of logits, relative to the largest logit.

Command: KERAS_BACKEND=jax python benchmarks/parity_timm.py [--only WILDCARD] [--all]
Takes about 5 minutes per backend on two cores. Target: 244 of 244 below 1e-4.
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


def check(name: str, row: dict[str, Any], folder: Path) -> tuple[float, float]:
    """Return the relative errors of logits and pre-logits."""
    import keras

    import keras_vit
    from tests.peers import (
        check_round_trip,
        shrink,
        timm_call,
        timm_model,
        write_timm,
    )

    model = timm_model(name, **shrink(row))
    write_timm(model, folder)
    ours = keras_vit.load(folder)
    height, width, channels = ours.input_shape[1:]
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, height, width, channels)).astype("float32")
    expected = timm_call(model, images)
    features = timm_call(
        lambda x: model.forward_head(model.forward_features(x), pre_logits=True), images
    )
    backbone = keras_vit.load(folder, num_classes=None)
    counts = {
        "timm": sum(p.numel() for p in model.parameters()),
        "ours": ours.count_params(),
        "config": ours.config.num_parameters,
    }
    if len(set(counts.values())) > 1:
        raise ValueError(f"parameter counts differ: {counts}")
    check_round_trip(ours, folder)
    return tuple(
        float(abs(keras.ops.convert_to_numpy(m(images)) - y).max() / abs(y).max())
        for m, y in ((ours, expected), (backbone, features))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="wildcard of names")
    parser.add_argument("--all", action="store_true", help="all three backends")
    options = parser.parse_args()
    if options.all:
        run_on_each_backend(__file__, "--only", options.only)
        return
    import keras

    from keras_vit.checkpoints.timm.config import timm_table

    good, worst, total = 0, 0.0, 0
    for name, row in timm_table().items():
        if not fnmatch(name, options.only):
            continue
        total += 1
        with tempfile.TemporaryDirectory() as folder:
            try:
                errors = check(name, row, Path(folder))
            except Exception as error:  # Count it and go on.
                print(f"{name}: {type(error).__name__}: {error}", flush=True)
                if options.only == name:
                    traceback.print_exc()
                continue
        keras.backend.clear_session()
        if max(errors) < TOLERANCE:
            good += 1
            worst = max(worst, *errors)
        else:
            print(f"{name}: errors {errors[0]:.1e} and {errors[1]:.1e}", flush=True)
    backend = keras.backend.backend()
    print(f"| {backend} | {good} of {total} | {worst:.1e} |", flush=True)


if __name__ == "__main__":
    main()
