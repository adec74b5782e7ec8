"""Peak memory of our model against keras-hub's: build B/16, run one image through it.

Each figure is the peak resident size (ru_maxrss) of a fresh process, with nothing
subtracted; "imports" is a process that only imports keras and the package. Ratio:
keras-hub / ours; 1 or more means that ours does not need more.

    python benchmarks/memory.py                 the three backends, 3 minutes
    python benchmarks/memory.py --variant S/16  another size
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

from backends import BACKENDS, backend_env

LIBRARIES = ("ours", "keras_hub")
HEADER = """\
| backend | imports, ours (MiB) | imports, keras-hub | ours (MiB) | keras-hub | ratio |
|---|---|---|---|---|---|"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="B/16")
    parser.add_argument("--child", choices=LIBRARIES, help="internal")
    parser.add_argument("--imports-only", action="store_true", help="internal")
    return parser.parse_args()


def run_child(library: str, variant: str, imports_only: bool) -> None:
    """Do the work in this process and print its peak memory in MiB."""
    import numpy as np

    if library == "ours":
        from peers import build_ours as build

        import keras_vit  # noqa: F401
    else:
        import keras_hub  # noqa: F401
        from peers import build_keras_hub as build
    if not imports_only:
        model = build(variant)
        images = np.zeros((1, *model.input_shape[1:]), "float32")
        model.predict_on_batch(images)
    # Linux counts in KiB.
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def peak(library: str, variant: str, backend: str, *options: str) -> float:
    """Return the peak memory of a fresh process in MiB."""
    command = [sys.executable, __file__, "--child", library, "--variant", variant]
    done = subprocess.run(
        [*command, *options],
        env=backend_env(backend),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    args = parse_arguments()
    if args.child:
        run_child(args.child, args.variant, args.imports_only)
        return
    print(HEADER, flush=True)
    for backend in BACKENDS:
        imports, totals = (
            [peak(library, args.variant, backend, *options) for library in LIBRARIES]
            for options in (("--imports-only",), ())
        )
        cells = " | ".join(f"{value:.0f}" for value in [*imports, *totals])
        print(f"| {backend} | {cells} | {totals[1] / totals[0]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
