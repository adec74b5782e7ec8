"""Real pictures in folders, for tests of data and command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from keras_vit.data.sources.digits import load_digits


def digit_pictures(count: int, classes: int = 10) -> list[tuple[Image.Image, int]]:
    """Return digits as grey pictures with their labels, all classes equally often."""
    pixels, labels = load_digits()
    pictures = []
    for label in range(classes):
        for i in np.flatnonzero(labels == label)[: count // classes]:
            pictures.append((Image.fromarray(pixels[i, ..., 0]), label))
    return pictures


def write_folder(folder: Path, count: int = 40, classes: int = 4) -> Path:
    """Write `CLASS/NUMBER.png` files, of differing sizes, and return the folder."""
    for number, (picture, label) in enumerate(digit_pictures(count, classes)):
        path = folder / f"digit_{label}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.resize((20 + number % 7, 24 + number % 5)).save(path)
    return folder


def truncated_jpeg(path: Path) -> Path:
    """Write a JPEG that stops half way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype="uint8")
    Image.fromarray(noise).save(path, quality=90)
    path.write_bytes(path.read_bytes()[:1500])
    return path
