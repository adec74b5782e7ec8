"""Parity with the files that authors publish: n of N kinds of names.

A small model of timm with random weights is written under the names of the authors, by
hand, and loaded by `keras_vit.load(file, architecture=...)`. Where timm's own filter
reads such a file, the logits are those of timm after it. Error: largest difference of
logits or features, relative to the largest value.

Command: KERAS_BACKEND=jax python benchmarks/parity_first_party.py [--all]. Takes about
a minute per backend. Target: all below 1e-4.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from backends import run_on_each_backend

sys.path.insert(0, str(Path(__file__).parent.parent))
TOLERANCE = 1e-4


def check(case: Any, folder: str) -> float:
    """Return the relative error of one kind of file."""
    import keras

    import keras_vit
    from tests import first_party_peers as peers
    from tests.peers import timm_call

    file = Path(folder, "weights.pth")
    with peers.small(case.architecture) as args:
        model = peers.write(case, args, file)
        ours = keras_vit.load(file, architecture=case.architecture)
    shape = (2, *ours.input_shape[1:])
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = timm_call(model, images)
    found = keras.ops.convert_to_numpy(ours(images))
    return float(abs(found - expected).max() / abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="all three backends")
    if parser.parse_args().all:
        run_on_each_backend(__file__)
        return
    import keras

    from tests.first_party_peers import CASES

    errors = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            errors[name] = check(case, folder)
        keras.backend.clear_session()
    good = {name: error for name, error in errors.items() if error < TOLERANCE}
    for name in set(errors) - set(good):
        print(f"{name}: error {errors[name]:.1e}", flush=True)
    backend = keras.backend.backend()
    print(f"| {backend} | {len(good)} of {len(errors)} | {max(good.values()):.1e} |")


if __name__ == "__main__":
    main()
