"""Times of the notebooks of examples/notebooks/ on each backend, with their kernels.

Each is executed as Jupyter does, one after the other, in a folder of its own. FOLDER is
DINOv2-small in Hugging Face's layout; a hub on loopback serves it under its name. A
cell says how long it took, and how many seconds processors computed for it in all
processes, which depends less on what else the machine does.

Command: python benchmarks/notebooks.py --weights FOLDER [--backends jax] [NAME ...]
Takes about 20 minutes on two cores. Target: 180 s each.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
BACKENDS = ("tensorflow", "jax", "torch")


def main() -> None:
    from tests.examples.notebooks import execute, sources

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="default: all")
    parser.add_argument("--weights", type=Path, help="default: small random ones")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    options = parser.parse_args()
    print(f"| notebook | {' | '.join(options.backends)} |")
    print(f"|---|{'---|' * len(options.backends)}")
    for source in sources():
        if options.names and source.stem not in options.names:
            continue
        print(f"| `{source.stem}` |", end="", flush=True)
        for backend in options.backends:
            os.environ["KERAS_BACKEND"] = backend  # of the kernel
            before = computed()
            with tempfile.TemporaryDirectory() as folder:
                ran = execute(source, Path(folder), weights=options.weights)
            own = computed() - before
            print(f" {ran.seconds:.0f} s ({own:.0f} s) |", end="", flush=True)
        print()


def computed() -> float:
    """Return how many seconds processors computed for processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
