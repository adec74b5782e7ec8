"""Time and memory of loading a safetensors file of ViT-B/16 (86 M parameters).

timm writes the file with random weights. `keras_vit.load` and
`timm.create_model("local-dir:...", pretrained=True)` take turns in one process. Ratio:
time of ours / time of timm, median over rounds with quartiles; the target is at most
1.5. Memory: the growth of the peak resident size of a fresh process while it loads,
over the sizes of the file and of the model (equal here); the target is at most 1.3
times the file plus the model.

    KERAS_BACKEND=torch python benchmarks/load_speed.py
    python benchmarks/load_speed.py --all        the three backends, 3 minutes
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from backends import run_on_each_backend
from paired_timing import describe, paired_times

sys.path.insert(0, str(Path(__file__).parent.parent))
NAME = "vit_base_patch16_224"


def measure(folder: Path, rounds: int) -> None:
    """Print one table row on the current backend."""
    import keras

    import keras_vit
    from tests.peers import import_timm, timm_model, write_timm

    timm = import_timm()
    write_timm(timm_model(NAME), folder)
    times = paired_times(
        lambda: timm.create_model(f"local-dir:{folder}", pretrained=True),
        lambda: keras_vit.load(folder),
        rounds,
    )
    size = (folder / "model.safetensors").stat().st_size
    command = [sys.executable, __file__, "--child", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    growth = float(done.stdout.split()[-1])
    print(
        f"| {keras.backend.backend()} | {describe(times)} | {growth / 2**20:.0f} | "
        f"{growth / (2 * size):.2f} |",
        flush=True,
    )


def run_child(folder: str) -> None:
    """Print by how many bytes loading raises the peak of this process."""
    import numpy as np

    import keras_vit

    # A first small model, so that the backend has started.
    keras_vit.ViT.from_variant("test").predict_on_batch(np.zeros((1, 32, 32, 3)))
    before = peak()
    keras_vit.load(folder)
    print(peak() - before)


def peak() -> int:
    """Return the peak resident bytes (Linux); ru_maxrss begins with the parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="the three backends")
    parser.add_argument("--child", help="internal")
    options = parser.parse_args()
    if options.child:
        return run_child(options.child)
    if options.all:
        run_on_each_backend(__file__, "--rounds", str(options.rounds))
        return None
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.rounds)
    return None


if __name__ == "__main__":
    main()
