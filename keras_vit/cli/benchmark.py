"""The command that measures how fast a file is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from keras_vit.export.benchmark import benchmark

Add = Callable[..., argparse.ArgumentParser]


def add_benchmark(commands: argparse._SubParsersAction, add: Add) -> None:
    """Add `keras-vit benchmark` to the commands."""
    parser = add(
        commands,
        "benchmark",
        "measure latency and throughput of a saved or exported model",
        "benchmark saved_models/digits/model.tflite --batch 1 8 --threads 1 2",
    )
    parser.set_defaults(run=run_benchmark)
    parser.add_argument(
        "file", metavar="FILE", help=".keras file, or file or folder of export"
    )
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        default=[1, 8],
        metavar="N",
        help="images per call; default 1 8",
    )
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1], metavar="N", help="default 1"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="of each measurement; default 1",
    )


def run_benchmark(options: argparse.Namespace) -> None:
    """Measure a file and print a table."""
    found = benchmark(
        options.file,
        batches=options.batch,
        threads=options.threads,
        seconds=options.seconds,
    )
    if options.json:
        print(json.dumps(found.as_json(), indent=1))
        return
    with_backend = f" on {found.backend}" if found.backend else ""
    print(f"{found.path}: {found.format}{with_backend}, {found.device}")
    left_out = [n for n in options.batch if found.fixed_batch not in (None, n)]
    if left_out:
        print(
            f"The file takes batches of {found.fixed_batch} only; not measured: "
            f"{', '.join(map(str, left_out))}."
        )
    print(found.table())
