r"""Attention maps against timm's own attention, for each of its plain ViTs.

Each architecture is shrunk and gets random weights, as in parity_timm.py. Attention of
each block and rollout are compared with what timm's softmax returns (fused attention
off) and with NumPy; relevance (Chefer's rules) and Grad-CAM with torch's gradients of
timm's model. Error: largest difference, relative to the largest value. Methods that are
not defined are refused by name and counted as such.

Command: KERAS_BACKEND=jax python benchmarks/explain_timm.py \
    [--only WILDCARD] [--gradients N] [--all]
Target: attention and rollout of all 244 below 1e-5, the others below 1e-4.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

from backends import run_on_each_backend

sys.path.insert(0, str(Path(__file__).parent.parent))
TOLERANCES = {"attention": 1e-5, "rollout": 1e-5, "relevance": 1e-4, "grad_cam": 1e-4}


def errors_of(name: str, row: dict, with_gradients: bool) -> dict[str, float]:
    import keras_vit
    from tests.peers import shrink, timm_model, write_timm
    from tests.timm_attention import relative_errors

    theirs = timm_model(name, **shrink(row))
    with tempfile.TemporaryDirectory() as folder:
        write_timm(theirs, folder)
        ours = keras_vit.load(folder)
    found = relative_errors(ours, theirs, with_gradients=with_gradients)
    if "rollout" not in found:
        try:
            keras_vit.explain(ours, [], method="rollout")
        except ValueError as error:
            if "not defined for differential attention" not in str(error):
                raise
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="wildcard of names")
    about = "gradient methods of each N-th architecture only, for a faster run"
    parser.add_argument("--gradients", type=int, default=1, metavar="N", help=about)
    parser.add_argument("--all", action="store_true", help="all three backends")
    options = parser.parse_args()
    if options.all:
        options = ("--only", options.only, "--gradients", str(options.gradients))
        run_on_each_backend(__file__, *options)
        return
    # Compiles faster what runs once.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    import keras

    from keras_vit.checkpoints.timm.config import timm_table

    rows = {n: r for n, r in timm_table().items() if fnmatch(n, options.only)}
    errors, started = defaultdict(list), time.perf_counter()
    for number, (name, row) in enumerate(rows.items()):
        found = errors_of(name, row, number % options.gradients == 0)
        for method, error in found.items():
            errors[method].append(error)
            if not error < TOLERANCES[method]:
                print(f"{name}: {method} {error:.1e}", flush=True)
        keras.backend.clear_session()
    backend = keras.backend.backend()
    for method, found in errors.items():
        good = sum(error < TOLERANCES[method] for error in found)
        row = f"| {backend} | {method} | {good} of {len(found)} | {max(found):.1e} |"
        print(row, flush=True)
    seconds = time.perf_counter() - started
    print(f"{len(rows)} architectures, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
