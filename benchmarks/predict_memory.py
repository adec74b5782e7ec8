"""Memory and speed of `keras-vit predict FOLDER --output`: 10,000 small pictures.

The command runs in a process of its own, whose memory (resident set) is read while the
rows are counted. Flat means: after the first 1,000 pictures it stays within 5 % of what
it was then. Then a second one is killed (SIGKILL) half way, and the same command goes
on: the files of both must say the same.

    python benchmarks/predict_memory.py                  the three backends, 10 minutes
    python benchmarks/predict_memory.py --backend jax    one of them
    python benchmarks/predict_memory.py --count 100000   more pictures
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from backends import BACKENDS, backend_env
from PIL import Image

FIRST = 1000  # pictures after which memory has to be flat
ALLOWED = 0.05
SIDE = 48  # pixels
HEADER = """\
| backend | pictures | per second | MiB at 1,000 | least | most | growth | resumed |
|---|---|---|---|---|---|---|---|"""
MODEL = """
import keras_vit
model = keras_vit.ViT.from_variant(
    "test", num_classes=10,
    preprocessing=keras_vit.Preprocessing(image_size=32),
)
model.save({path!r})
"""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS)
    parser.add_argument("--count", type=int, default=10_000)
    return parser.parse_args()


def write_pictures(folder: Path, count: int) -> None:
    """Write noise as JPEG files."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype="uint8")
        Image.fromarray(pixels).save(path)


def resident(process: int) -> float:
    """Return the memory of a process in MiB."""
    text = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def rows_in(path: Path) -> int:
    """Return how many rows are written."""
    partial = path.with_name(f"{path.name}.partial")
    for name in (path, partial):
        if name.exists():
            return max(0, name.read_bytes().count(b"\n") - 1)
    return 0


def start(model: Path, folder: Path, output: Path, backend: str) -> subprocess.Popen:
    """Start the command."""
    command = [sys.executable, "-m", "keras_vit", "predict", str(model), str(folder)]
    return subprocess.Popen(
        [*command, "--output", str(output)],
        env=backend_env(backend),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def watch(process: subprocess.Popen, output: Path, count: int) -> list[float]:
    """Return the memory after the first pictures until the end."""
    found = []
    while process.poll() is None:
        done = rows_in(output)
        try:
            memory = resident(process.pid)
        except (FileNotFoundError, ValueError):
            break
        if FIRST <= done < count:
            found.append(memory)
        time.sleep(0.05)
    if process.wait():
        raise SystemExit(process.stderr.read() if process.stderr else 1)
    return found


def values(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the paths and the probabilities of a file."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [row[0] for row in rows], np.array([row[2:-1] for row in rows], float)


def measure(backend: str, folder: Path, count: int) -> str:
    """Return the row of a backend."""
    with tempfile.TemporaryDirectory() as name:
        model, output = Path(name) / "model.keras", Path(name) / "whole.csv"
        code = MODEL.format(path=str(model))
        command = [sys.executable, "-c", code]
        subprocess.run(command, env=backend_env(backend), check=True)
        process = start(model, folder, output, backend)
        memory = watch(process, output, count)
        told = process.stderr.read().splitlines()[-1] if process.stderr else ""
        again = Path(name) / "again.csv"
        process = start(model, folder, again, backend)
        while rows_in(again) < count // 2:
            time.sleep(0.05)
        process.kill()
        process.wait()
        kept = rows_in(again)
        process = start(model, folder, again, backend)
        if process.wait():
            raise SystemExit(process.stderr.read() if process.stderr else 1)
        (paths, first), (others, second) = values(output), values(again)
        is_same = paths == others and np.abs(first - second).max() < 1e-6
    growth = max(memory) / memory[0] - 1
    lost = 1 - min(memory) / memory[0]
    verdict = "flat" if max(growth, lost) <= ALLOWED else "NOT FLAT"
    speed = told.split()[-3] if told.endswith("per second") else "?"
    resumed = f"{'same' if is_same else 'OTHER'} ({kept:,} kept)"
    return (
        f"| {backend} | {count:,} | {speed} | {memory[0]:.0f} | {min(memory):.0f} | "
        f"{max(memory):.0f} | {growth:+.1%} {verdict} | {resumed} |"
    )


def main() -> None:
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        write_pictures(folder, args.count)
        print(HEADER, flush=True)
        for backend in [args.backend] if args.backend else BACKENDS:
            print(measure(backend, folder, args.count), flush=True)


if __name__ == "__main__":
    main()
