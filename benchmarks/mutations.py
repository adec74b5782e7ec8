"""Damaged pictures and checkpoints: what verification passes, reading passes.

Small files of each format are written on the spot, and bytes of them are changed, cut
out, doubled, put in or cut off, half of the time near their front. Of each picture it
asks whether `why_unreadable`, which verifies folders, and all ways to read (1, 3 and 4
channels, transparency on white, random crops) say the same. Of each checkpoint it opens
the header and reads all arrays. Each file that is refused has to be refused with an
error of the documented types that names it.

Command: KERAS_BACKEND=torch python benchmarks/mutations.py [--pictures N]
    [--checkpoints N]
Takes about 2 minutes on one core. Target: 0 contradictions, 0 other errors.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.random import Generator

sys.path.insert(0, str(Path(__file__).parent.parent))

from PIL import Image

from keras_vit import Augmentation, Preprocessing
from keras_vit.checkpoints.files.npz import NpzFile
from keras_vit.checkpoints.open import open_arrays
from keras_vit.read_image import why_unreadable

SHOWN = 20  # failures that are printed
DOCUMENTED = (OSError, ValueError)


def pictures() -> dict[str, bytes]:
    """Return files of each format by the ending of their names."""
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (5, 6, 3), dtype="uint8")
    colour = Image.fromarray(smooth).resize((41, 30), Image.Resampling.BICUBIC)
    alpha = colour.copy()
    alpha.putalpha(120)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "a camera", "with a name"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    deep = Image.fromarray(rng.integers(0, 65536, (20, 24), dtype="uint16"))
    frames = {"save_all": True, "append_images": [colour.rotate(90)]}
    made: list[tuple[str, Image.Image, dict]] = [
        ("jpg", colour, {"quality": 85}),
        ("jpg", colour, {"quality": 60, "exif": exif, "progressive": True}),
        ("jpg", colour, {"exif": exif}),
        ("jpg", colour.convert("L"), {"exif": exif}),
        ("jpg", colour.convert("CMYK"), {}),
        ("png", colour, {"exif": exif}),
        ("png", alpha, {"dpi": (72, 72)}),
        ("png", colour.quantize(16), {"transparency": 3}),
        ("png", deep, {}),
        ("png", colour.convert("1"), {}),
        ("png", colour, frames),
        ("gif", colour, frames),
        ("gif", colour.quantize(8), {"transparency": 1}),
        ("webp", colour, {"exif": exif}),
        ("webp", alpha, {"lossless": True, "exif": exif}),
        ("webp", colour, frames),
        ("bmp", colour, {}),
        ("bmp", colour.quantize(16), {}),
        ("tif", colour, {"compression": "tiff_lzw", "exif": exif}),
        ("tif", colour, {"compression": "jpeg"}),
        ("tif", alpha, {"compression": "tiff_adobe_deflate"}),
        ("tif", deep, {}),
        ("ppm", colour, {}),
    ]
    files = {}
    for number, (ending, picture, options) in enumerate(made):
        file = io.BytesIO()
        name = {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper())
        picture.save(file, name, **options)
        files[f"{number}.{ending}"] = file.getvalue()
    return files


def checkpoints(folder: Path) -> dict[str, bytes]:
    """Return a file of each format of weights by its name."""
    import torch

    from keras_vit.checkpoints.files.npz import write_npz
    from keras_vit.checkpoints.files.safetensors import write_safetensors

    rng = np.random.default_rng(0)
    arrays = {
        "head.weight": rng.normal(size=(3, 4)).astype("float32"),
        "head.bias": np.zeros(3, "float16"),
        "blocks.0.count": np.arange(5),
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    write_safetensors(folder / "0.safetensors", arrays, {"format": "pt"})
    write_npz(folder / "1.npz", arrays)
    torch.save(tensors, folder / "2.pth")
    torch.save(
        {"model": tensors, "epoch": 3},
        folder / "3.pt",
        _use_new_zipfile_serialization=False,
    )
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def mutated(data: bytes, rng: Generator, header: int) -> bytes:
    """Return a file with one to three changes, mostly one.

    Args:
        data: of the whole file.
        rng: decides everything.
        header: bytes at the front in which half of the changes are.
    """
    changed = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        end = min(header, len(changed)) if rng.random() < 0.5 else len(changed)
        if end < 2:
            break
        start = int(rng.integers(end))
        length = int(rng.integers(1, 9))
        kind = int(rng.integers(7))
        noise = rng.integers(0, 256, length, dtype="uint8").tobytes()
        if kind == 0:
            changed[start] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[start : start + length] = noise[: len(changed) - start]
        elif kind == 2:
            del changed[start : start + length]
        elif kind == 3:
            changed[start:start] = noise
        elif kind == 4:
            del changed[start + 1 :]
        elif kind == 5:
            extremes = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFF)
            number = extremes[int(rng.integers(len(extremes)))]
            order = "<I" if rng.random() < 0.5 else ">I"
            packed = struct.pack(order, number)
            changed[start : start + 4] = packed[: len(changed) - start]
        else:
            piece = changed[start : start + 16 * length]
            place = int(rng.integers(len(changed)))
            changed[place:place] = piece
    return bytes(changed)


def ways_to_read(path: Path) -> dict[str, Callable[[], object]]:
    """Return what training, prediction and export do with a picture."""
    size = {"image_size": 16}
    crop = Augmentation(crop_area=(0.08, 1.0))
    plain = Preprocessing(**size)
    rng = np.random.default_rng(0)
    return {
        "predict": lambda: plain(path),
        "grey": lambda: Preprocessing(channels=1, **size)(path),
        "alpha": lambda: Preprocessing(channels=4, **size)(path),
        "white": lambda: Preprocessing(transparency="white", **size)(path),
        "train": lambda: crop.values(path, plain, rng),
    }


class Findings:
    """Counts what happened, and keeps what must not happen."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def outcome(self, name: str, work: Callable[[], object]) -> str:
        """Return "read" or "refused"; keep an error of another type or of no name."""
        try:
            work()
        except DOCUMENTED as error:
            if name not in str(error):
                self.fail(name, f"not named: {error}")
            return "refused"
        except Exception:
            self.fail(name, traceback.format_exc(limit=-3))
            return "refused"
        return "read"

    def fail(self, name: str, text: str) -> None:
        """Keep what must not happen."""
        self.counts["failures"] += 1
        self.failures.append(f"{name}: {text.strip()}")


def try_pictures(count: int, folder: Path, rng: Generator) -> Findings:
    """Verify and read so many damaged pictures."""
    found, files = Findings(), list(pictures().items())
    for number in range(count):
        base, data = files[number % len(files)]
        path = folder / f"{number}-{base}"
        path.write_bytes(mutated(data, rng, header=200))
        verdict: list[str | None] = []
        found.outcome(path.name, lambda: verdict.append(why_unreadable(path)))  # noqa: B023
        passes = verdict == [None]
        found.counts["passed" if passes else "refused"] += 1
        expected = "read" if passes else "refused"
        for way, work in ways_to_read(path).items():
            outcome = found.outcome(path.name, work)
            if outcome != expected:
                found.fail(path.name, f"verified as {expected}, {way}: {outcome}")
        if not found.failures or path.name not in found.failures[-1]:
            path.unlink()
    return found


def try_checkpoints(count: int, folder: Path, rng: Generator) -> Findings:
    """Open so many damaged checkpoints and read what passes."""
    with tempfile.TemporaryDirectory() as temporary:
        files = list(checkpoints(Path(temporary)).items())
    found = Findings()
    for number in range(count):
        base, data = files[number % len(files)]
        path = folder / f"{number}-{base}"
        path.write_bytes(mutated(data, rng, header=300))
        opened: list = []

        def open_file(path: Path = path, opened: list = opened) -> None:
            is_npz = path.suffix == ".npz"
            opened.append(NpzFile(path) if is_npz else open_arrays(path))

        def read_all(opened: list = opened) -> None:
            for name in opened[0]:
                np.asarray(opened[0][name])

        outcome = found.outcome(path.name, open_file)
        if outcome == "read":
            outcome = found.outcome(path.name, read_all)
            # The checksums of a zip are those of the data, which opening does not read.
            if outcome == "refused" and path.suffix == ".safetensors":
                found.fail(path.name, "opened, but not read")
        found.counts[f"{path.suffix} {outcome}"] += 1
        if not found.failures or path.name not in found.failures[-1]:
            path.unlink()
    return found


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Let libtiff write its warnings to nowhere: C code knows no `warnings`."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def report(what: str, count: int, found: Findings, seconds: float) -> bool:
    """Print what was found; return whether nothing was wrong."""
    counts = ", ".join(f"{n} {name}" for name, n in sorted(found.counts.items()))
    print(f"{count} {what} in {seconds:.0f} s: {counts}")
    for text in found.failures[:SHOWN]:
        print(f"  {text}")
    print(f"  {len(found.failures)} contradictions and other errors")
    return not found.failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000, metavar="N")
    parser.add_argument("--checkpoints", type=int, default=20_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that fail")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    # A changed size shall not take the memory of a real scan.
    Image.MAX_IMAGE_PIXELS = 1_000_000
    is_right = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        runs = {
            "pictures": (try_pictures, options.pictures),
            "checkpoints": (try_checkpoints, options.checkpoints),
        }
        for what, (run, count) in runs.items():
            started = time.perf_counter()
            with silent_libraries():
                found = run(count, folder, np.random.default_rng(options.seed))
            is_right &= report(what, count, found, time.perf_counter() - started)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
