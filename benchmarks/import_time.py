"""What `import keras_vit` adds to `import keras`: seconds, target below 0.3.

Each round is a fresh process that imports keras, then measures the import of ours. The
backend is the one of KERAS_BACKEND, or all three with --all.

    KERAS_BACKEND=jax python benchmarks/import_time.py    15 rounds, 1 to 2 minutes
    python benchmarks/import_time.py --all                three backends, 4 minutes
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

from backends import BACKENDS, backend_env

MEASURE = """
import time
start = time.perf_counter()
import keras
middle = time.perf_counter()
import keras_vit
print(middle - start, time.perf_counter() - middle)
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="processes")
    parser.add_argument("--all", action="store_true", help="the three backends")
    return parser.parse_args()


def import_seconds(backend: str) -> list[float]:
    """Return seconds for keras and, after it, for keras_vit in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env=backend_env(backend),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [float(word) for word in done.stdout.split()[-2:]]


def main() -> None:
    args = parse_arguments()
    print("| backend | import keras (s) | import keras_vit after it (s) |")
    print("|---|---|---|", flush=True)
    current = os.environ.get("KERAS_BACKEND", "tensorflow")
    for backend in BACKENDS if args.all else (current,):
        import_seconds(backend)  # Writes the byte code.
        rounds = [import_seconds(backend) for _ in range(args.rounds)]
        before = statistics.median(keras_time for keras_time, _ in rounds)
        added = statistics.median(ours for _, ours in rounds)
        print(f"| {backend} | {before:.2f} | {added:.3f} |", flush=True)


if __name__ == "__main__":
    main()
