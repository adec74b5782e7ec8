"""What augmentation, averaged weights and stochastic depth bring, each taken away.

Drawn shapes at 64 pixels, turned, of many sizes and of any colour that stands out from
the background's, with lines of other colours and noise as clutter: circle, square,
triangle, star, ring and cross. 1800 training images, 600 test images, the same for all
rows. Accuracy on the test images, mean and range of the seeds, which decide weights and
order.

    KERAS_BACKEND=jax python benchmarks/ablation.py [--seeds 2] [--show shapes.png]

Takes about 35 minutes of one core.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any

import keras
import numpy as np
from PIL import Image, ImageDraw

import keras_vit

CLASSES = ("circle", "square", "triangle", "star", "ring", "cross")
SIZE = 64
CONTRAST = 250  # sum over red, green and blue; a shape that nobody sees teaches nothing

FULL = keras_vit.Recipe(
    epochs=60,
    batch_size=50,
    learning_rate=1.5e-3,
    warmup_epochs=3,
    weight_decay=0.1,
    label_smoothing=0.1,
    stochastic_depth_rate=0.1,
    ema_decay=0.99,
    augmentation=keras_vit.Augmentation(
        crop_area=(0.5, 1.0), horizontal_flip=True, rotation=15, color_jitter=0.3
    ),
)
# What takes each part away.
WITHOUT: dict[str, dict[str, Any]] = {
    "augmentation": {"augmentation": keras_vit.Augmentation()},
    "averaged weights": {"ema_decay": None},
    "stochastic depth": {"stochastic_depth_rate": 0.0},
}
ROWS: dict[str, dict[str, Any]] = {
    "all": {},
    **{f"without {part}": changes for part, changes in WITHOUT.items()},
    "without the three": reduce(or_, WITHOUT.values()),
    "with MixUp and CutMix": {"mixing": keras_vit.Mixing(probability=0.5)},
    "with RandAugment": {
        "augmentation": replace(FULL.augmentation, rand_augment=keras_vit.RandAugment())
    },
}


def draw(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Draw one shape with clutter, uint8 (64, 64, 3)."""
    colours = rng.integers(0, 256, (5, 3))
    while np.abs(colours[0] - colours[4]).sum() <= CONTRAST:
        colours = rng.integers(0, 256, (5, 3))
    image = Image.new("RGB", (SIZE, SIZE), tuple(colours[0]))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 5))):
        ends = [tuple(point) for point in rng.integers(0, SIZE, (2, 2)).tolist()]
        pen.line(ends, tuple(colours[rng.integers(1, 4)]), int(rng.integers(1, 3)))
    radius = rng.uniform(14, 24)
    x, y = rng.uniform(28, 36, 2)
    fill = tuple(colours[4])
    box = (x - radius, y - radius, x + radius, y + radius)
    turn = rng.uniform(0, 2 * math.pi)

    def ring(count: int, radii: tuple[float, ...]) -> list[tuple[float, float]]:
        angles = [turn + 2 * math.pi * i / count for i in range(count)]
        lengths = [radius * radii[i % len(radii)] for i in range(count)]
        return [
            (x + r * math.cos(a), y + r * math.sin(a))
            for a, r in zip(angles, lengths, strict=True)
        ]

    if kind == "circle":
        pen.ellipse(box, fill)
    elif kind == "ring":
        pen.ellipse(box, None, fill, width=max(2, int(radius / 3)))
    elif kind == "cross":
        for i in (0, 1):
            far = ring(4, (1.0,))
            pen.line([far[i], far[i + 2]], fill, max(3, int(radius / 3)))
    else:
        corners = {
            "square": (4, (1.0,)),
            "triangle": (3, (1.0,)),
            "star": (10, (1, 0.45)),
        }
        pen.polygon(ring(*corners[kind]), fill)
    noise = rng.normal(0, 12, (SIZE, SIZE, 3))
    return np.clip(np.asarray(image) + noise, 0, 255).astype("uint8")


def shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` drawn images and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    return np.stack([draw(CLASSES[label], rng) for label in labels]), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=FULL.epochs)
    parser.add_argument("--show", help="write a picture of some images and stop")
    options = parser.parse_args()
    if options.show:
        images, _ = shapes(48, 0)
        rows = images.reshape(6, 8, SIZE, SIZE, 3).swapaxes(1, 2)
        Image.fromarray(rows.reshape(6 * SIZE, 8 * SIZE, 3)).save(options.show)
        return
    parts = {"train": shapes(1800, 1), "test": shapes(600, 2)}
    data = keras_vit.load_data(parts, class_names=CLASSES, validation_fraction=0.0)
    print("| recipe | mean accuracy | lowest | highest |\n|---|---|---|---|")
    for name, changes in ROWS.items():
        found = []
        for seed in range(options.seeds):
            keras.utils.set_random_seed(seed)
            model = keras_vit.ViT(
                image_size=SIZE,
                patch_size=16,
                num_classes=len(CLASSES),
                hidden_dim=96,
                num_layers=4,
                num_heads=4,
                mlp_dim=192,
                pooling="mean",
            )
            recipe = replace(
                FULL, **{"seed": seed, "epochs": options.epochs, **changes}
            )
            keras_vit.train(model, data, recipe, verbose=0)
            found.append(keras_vit.evaluate(model, data).accuracy)
        print(
            f"| {name} | {np.mean(found):.4f} | {min(found):.4f} | {max(found):.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
