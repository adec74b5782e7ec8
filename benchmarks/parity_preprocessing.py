"""Preprocessing against its sources: the largest difference of a pixel, in 1/255.

timm's evaluation transform and the image processors of transformers, on two photographs
and twelve pictures made of them: odd sizes, a small one, each mode of Pillow (grey,
palette, alpha, CMYK, one bit), EXIF rotation. Differences are taken before mean and
std. timm and the "pil" processors compute with Pillow, as `keras_vit.Preprocessing`
does. The "torchvision" ones compute with torch's own filters; how far the two of
transformers are apart stands in the last column: at most 2 with Pillow 12, up to 10 at
single pixels with Pillow 13, which begins with the height where that shrinks more.
Pictures are turned upright before timm and transformers see them.

The last lines do the same inside a graph, with `ImagePreprocessing` on the backend of
Keras, against `Preprocessing`.

Command: KERAS_BACKEND=jax python benchmarks/parity_preprocessing.py
Takes about two minutes. Target: at most 1 for timm and for "pil".
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
SIZES = ((224, 224), (160, 224), (256, 192))
CROP_PCTS = (1.0, 0.95, 0.9, 0.875)
TIMM_INTERPOLATIONS = ("bicubic", "bilinear", "lanczos")
CONFIGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Bit", {"size": {"shortest_edge": 256}}),
    ("Bit", {"size": {"shortest_edge": 200}}),
    ("CLIP", {"size": 336, "crop_size": 336}),
    ("CLIP", {"size": 229, "crop_size": {"height": 224, "width": 161}}),
    ("ViT", {"size": {"height": 384, "width": 384}}),
    ("ViT", {"size": {"height": 129, "width": 257}, "resample": 1}),
    ("ViT", {"do_normalize": False}),
)


def compare_with_timm(pictures: dict[str, Any]) -> None:
    from tests import preprocessing_peers as peers

    print("| timm crop_mode | interpolation | transforms | largest difference / 255 |")
    print("|---|---|---|---|")
    normalization = {
        "mean": peers.IMAGENET["image_mean"],
        "std": peers.IMAGENET["image_std"],
    }
    for mode, name in itertools.product(
        ("center", "squash", "border"), TIMM_INTERPOLATIONS
    ):
        worst = 0.0
        for size, crop_pct in itertools.product(SIZES, CROP_PCTS):
            options = {"input_size": (3, *size), "crop_pct": crop_pct}
            options |= {"crop_mode": mode, "interpolation": name, **normalization}
            ours, theirs = peers.from_timm(options), peers.timm_transform(**options)
            worst = max(worst, *differences(ours, theirs, pictures))
        count = len(SIZES) * len(CROP_PCTS)
        print(f"| {mode} | {name} | {count} | {worst:.3f} |", flush=True)


def compare_with_transformers(pictures: dict[str, Any]) -> None:
    from tests import preprocessing_peers as peers

    print("\n| transformers | options | pil | torchvision | pil to torchvision |")
    print("|---|---|---|---|---|")
    configs = [*((name, {}) for name in peers.PROCESSORS), *CONFIGS]
    for name, options in configs:
        ours = peers.from_transformers(name, **options)
        theirs = {}
        with tempfile.TemporaryDirectory() as folder:
            for backend in peers.backends(name):
                theirs[backend] = peers.processor(
                    name, Path(folder), backend, **options
                )
        cells = {
            backend: f"{max(differences(ours, apply, pictures)):.3f}"
            for backend, apply in theirs.items()
        }
        between = "none"
        if len(theirs) == 2:
            pil, torchvision = theirs.values()
            std = np.asarray(ours.std)
            between = max(
                255 * float(np.max(np.abs(pil(p) - torchvision(p)) * std))
                for p in pictures.values()
            )
            between = f"{between:.3f}"
        print(
            f"| {name} | {options or 'as published'} | {cells.get('pil', 'none')} | "
            f"{cells['torchvision']} | {between} |",
            flush=True,
        )


def compare_with_graph(pictures: dict[str, Any]) -> None:
    import keras

    from keras_vit import Preprocessing
    from keras_vit.exporting.image_preprocessing import ImagePreprocessing

    print(f"\n| in the graph ({keras.backend.backend()}) | interpolation | largest |")
    print("|---|---|---|")
    for resize, name in itertools.product(
        ("crop", "squash", "border"), ("bilinear", "bicubic", "lanczos")
    ):
        ours = Preprocessing(
            image_size=(160, 224), resize=resize, interpolation=name, crop_ratio=0.9
        )
        layer = ImagePreprocessing(ours)

        def in_graph(picture: Any, ours: Any = ours, layer: Any = layer) -> np.ndarray:
            return keras.ops.convert_to_numpy(layer(ours.to_array(picture)[None]))[0]

        worst = max(differences(ours, in_graph, pictures))
        print(f"| {resize} | {name} | {worst:.3f} |", flush=True)


def differences(ours: Any, theirs: Any, pictures: dict[str, Any]) -> list[float]:
    from tests.preprocessing_peers import largest_difference

    return [255 * largest_difference(ours, theirs, p) for p in pictures.values()]


def main() -> None:
    import PIL

    from tests.preprocessing_peers import pictures

    every = pictures()
    print(f"Pillow {PIL.__version__}, {len(every)} pictures: {', '.join(every)}\n")
    compare_with_timm(every)
    compare_with_transformers(every)
    compare_with_graph(every)


if __name__ == "__main__":
    # Of deprecations in torch, and of palettes whose alpha is left out.
    warnings.simplefilter("ignore")
    main()
