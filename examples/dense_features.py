"""What a model knows of each patch: colours, parts, and classes from a few clicks.

A Vision Transformer gives a vector for each patch of a picture, not only one for the
whole. The model is loaded without a fixed size, so pictures keep their proportions. For
each picture the script writes OUTPUT/NAME.png with three panels: the picture; the first
three principal components of its patches as colours; and a class for each patch. These
are the groups of k-means, the same in all pictures, or, with `--point`, the classes of
a linear probe: a logistic regression on the patches that you point at.

Source: Oquab et al. 2023 (DINOv2), arXiv:2304.07193, sections 7.4, 7.5 and figure 1.
Command: python examples/dense_features.py cat.jpg dog.jpg --parts 4
    python examples/dense_features.py cat.jpg dog.jpg \
        --point cat 170 130 animal --point cat 20 20 ground
Needs `pip install scikit-learn`, which has two photographs: without names of pictures
these are taken. Expected: about 2 seconds per picture, after the weights are there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

import keras_vit
from keras_vit.explaining.patch_features import components

# Okabe and Ito (2008): can be told apart by the colour-blind, too.
COLOURS = "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7 000000"
PALETTE = np.array([list(bytes.fromhex(one)) for one in COLOURS.split()], "uint8")


def resized(picture: Any, model: keras_vit.ViT, longest: int) -> np.ndarray:
    """Return a picture of whole patches, bytes (H, W, 3), in its own proportions."""
    pixels = model.preprocessing.to_array(picture)
    scale = longest / max(pixels.shape[:2])
    patches = zip(pixels.shape, model.config.patch_size, strict=False)
    size = tuple(max(1, round(side * scale / p)) * p for side, p in patches)
    return model.preprocessing.resize_to(pixels, size)


def patch_features(model: keras_vit.ViT, pixels: np.ndarray) -> np.ndarray:
    """Return the vectors of the patches of a picture of any size, (R, C, D)."""
    values = model.preprocessing.normalize(pixels)[np.newaxis]
    last = f"block_{model.config.num_layers - 1}"
    return keras.ops.convert_to_numpy(keras_vit.features(model)(values)[last])[0]


def unit(patches: np.ndarray) -> np.ndarray:
    """Return vectors of length 1 in rows: their distance is that of the directions."""
    rows = patches.reshape(-1, patches.shape[-1])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def parts(grids: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Return the group of each patch, (R, C), by k-means over all pictures."""
    groups = KMeans(count, n_init=4, random_state=0)
    groups.fit(np.concatenate([unit(grid) for grid in grids]))
    return [groups.predict(unit(grid)).reshape(grid.shape[:2]) for grid in grids]


def probed(
    grids: list[np.ndarray], points: list[tuple[int, int, int, str]]
) -> tuple[list[np.ndarray], list[str]]:
    """Return the class of each patch, (R, C), and the names of the classes.

    Args:
        grids: patches of each picture.
        points: (picture, row, column, name) of patches whose class is known.
    """
    names = sorted({name for *_, name in points})
    known = np.stack([grids[i][row, column] for i, row, column, _ in points])
    probe = LogisticRegression(C=100.0)
    probe.fit(unit(known), [names.index(name) for *_, name in points])
    found = [probe.predict(unit(grid)).reshape(grid.shape[:2]) for grid in grids]
    return found, names


def panels(pixels: np.ndarray, colours: np.ndarray, classes: np.ndarray) -> Image.Image:
    """Return a picture, the colours of its patches and their classes in a row."""
    size = pixels.shape[1::-1]
    drawn = [pixels, (255 * colours).astype("uint8"), PALETTE[classes % len(PALETTE)]]
    images = [
        Image.fromarray(one).resize(size, Image.Resampling.NEAREST) for one in drawn
    ]
    return Image.fromarray(
        np.concatenate([np.asarray(image) for image in images], axis=1)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="*", help="files; default: two photographs")
    parser.add_argument("--weights", default="facebook/dinov2-small")
    parser.add_argument("--longest", type=int, default=518, help="pixels of a side")
    parser.add_argument("--parts", type=int, default=5, help="groups of k-means")
    parser.add_argument("--foreground", action="store_true", help="colour objects only")
    parser.add_argument("--output", type=Path, default=Path("dense_features"))
    point = ("NAME", "X", "Y", "CLASS")
    parser.add_argument("--point", nargs=4, action="append", metavar=point, default=[])
    options = parser.parse_args()
    pictures: dict[str, Any] = {Path(path).stem: path for path in options.pictures}
    if len(pictures) < len(options.pictures):
        parser.error("two pictures have one name, and would be one file: rename one.")
    if not pictures:
        from sklearn.datasets import load_sample_image

        pictures = {
            name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")
        }

    model: Any = keras_vit.load(options.weights, image_size=None, num_classes=None)
    names, sizes = list(pictures), {}
    images, grids = [], []
    for name, picture in pictures.items():
        sizes[name] = model.preprocessing.to_array(picture).shape[:2]
        images.append(resized(picture, model, options.longest))
        grids.append(patch_features(model, images[-1]))
    points = []
    for name, x, y, label in options.point:  # Pixels of the file become a patch.
        if name not in sizes:
            parser.error(f"--point {name}: the pictures are {', '.join(names)}.")
        number, (height, width) = names.index(name), sizes[name]
        if not (0 <= int(x) < width and 0 <= int(y) < height):
            parser.error(f"--point {x} {y}: {name} has {width} x {height} pixels.")
        rows, columns = grids[number].shape[:2]
        place = int(y) * rows // height, int(x) * columns // width
        points.append((number, *place, label))
    if len({label for *_, label in points}) == 1:
        parser.error("--point needs two classes to tell apart.")
    if points:
        classes, labels = probed(grids, points)
    else:
        classes = parts(grids, options.parts)
        labels = [f"part {number}" for number in range(options.parts)]
    colours = components(grids, joint=True, foreground=options.foreground)
    options.output.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        row = panels(images[number], np.nan_to_num(colours[number]), classes[number])
        row.save(options.output / f"{name}.png")
        shares = np.bincount(classes[number].ravel(), minlength=len(labels))
        shares = shares / classes[number].size
        found = ", ".join(f"{a} {b:.0%}" for a, b in zip(labels, shares, strict=True))
        rows, columns = grids[number].shape[:2]
        print(f"{name}: {rows} x {columns} patches, {found}")


if __name__ == "__main__":
    main()
