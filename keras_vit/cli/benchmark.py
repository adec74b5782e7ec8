"""The command that measures how fast a file is."""

from __future__ import annotations

from argparse import Namespace

from keras_vit.cli.arguments import Commands, add_command, print_found
from keras_vit.exporting.benchmark import benchmark


def add_benchmark(commands: Commands) -> None:
    """Add `keras-vit benchmark` to the commands."""
    parser = add_command(
        commands,
        run_benchmark,
        "benchmark",
        "measure latency and throughput of a saved or exported model",
        "saved_models/digits/model.tflite --batch 1 8 --threads 1 2",
    )
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


def run_benchmark(options: Namespace) -> None:
    """Measure a file and print a table."""
    found = benchmark(
        options.file,
        batches=options.batch,
        threads=options.threads,
        seconds=options.seconds,
    )
    with_backend = f" on {found.backend}" if found.backend else ""
    lines = [f"{found.path}: {found.format}{with_backend}, {found.device}"]
    left_out = [n for n in options.batch if found.fixed_batch not in (None, n)]
    if left_out:
        lines.append(
            f"The file takes batches of {found.fixed_batch} only; not measured: "
            f"{', '.join(map(str, left_out))}."
        )
    print_found(options, found.as_json(), *lines, found.table())
