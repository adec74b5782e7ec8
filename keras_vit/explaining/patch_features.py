"""What the patches of pictures are to a model. R, C patches; D width of a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_vit.features import features

# Shares of the patches that get the ends of the range of each colour.
_ENDS = (1, 99)


def patch_model(model: Any, block: int, use_norm: bool) -> keras.Model:
    """Return a model from images to "outputs" and "map", the patches, (B, R, C, D).

    Args:
        model: a ViT.
        block: number of the block after which they are taken, from 0.
        use_norm: whether the final norm of the model is applied to them.
    """
    found: Any = features(model, block, use_norm=use_norm).output
    outputs = {"outputs": model.output, "map": found[f"block_{block}"]}
    return keras.Model(model.inputs[0], outputs, name=f"{model.name}_patches")


def norms(patches: np.ndarray) -> np.ndarray:
    """Return the length of each vector, float32 (R, C), of (R, C, D).

    Large models keep some of what they know of a whole picture in a few patches
    without content, which are much longer than others.

    Reference: Darcet and others, Vision Transformers Need Registers, arXiv:2309.16588,
    section 2.1.
    """
    return np.linalg.norm(patches.astype("float64"), axis=-1).astype("float32")


def similarities(patches: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return the cosine of each patch, (R, C, D), and a vector (D,), float32."""
    patches, vector = patches.astype("float64"), vector.astype("float64")
    lengths = np.linalg.norm(patches, axis=-1) * np.linalg.norm(vector)
    return (patches @ vector / np.maximum(lengths, 1e-30)).astype("float32")


def components(
    pictures: Sequence[np.ndarray], *, joint: bool = False, foreground: bool = False
) -> list[np.ndarray]:
    """Return the first three principal components of patches as shares of colours.

    Args:
        pictures: the patches of each, (R, C, D).
        joint: whether the components are those of all pictures, so that the same colour
            means the same in each. Default False: each picture has its own.
        foreground: whether patches of the ground are left out, and the components are
            those of the others. The first component of all patches divides the two,
            where the variance within both is the smallest (Otsu's threshold); the
            ground is what has more of the border of the pictures. Default False.

    Returns:
        float32 (R, C, 3) for each, from 0 to 1, the ends of the range for the 1% of the
        patches at each side; NaN in the ground.

    Reference: Oquab and others, DINOv2, arXiv:2304.07193, section 7.5 and figure 1.
    """
    if not joint:
        return [_coloured([one], foreground)[0] for one in pictures]
    return _coloured(pictures, foreground) if len(pictures) else []


def _coloured(pictures: Sequence[np.ndarray], foreground: bool) -> list[np.ndarray]:
    shapes = [picture.shape[:2] for picture in pictures]
    rows = np.concatenate([p.reshape(-1, p.shape[-1]) for p in pictures])
    rows = rows.astype("float64")
    at_border = np.concatenate([_border(shape).ravel() for shape in shapes])
    kept = np.ones(len(rows), bool)
    if foreground:
        first = _projected(rows, 1)[:, 0]
        kept = first > _otsu(first)
        # Principal components have no sign of their own.
        inside = kept[~at_border] if not at_border.all() else kept
        if kept[at_border].mean() > inside.mean():
            kept = ~kept
    found = np.full((len(rows), 3), np.nan)
    shares = _projected(rows[kept], 3)
    low, high = np.percentile(shares, _ENDS, axis=0)
    found[kept] = np.clip((shares - low) / np.maximum(high - low, 1e-30), 0, 1)
    ends = np.cumsum([height * width for height, width in shapes])[:-1]
    parts = zip(np.split(found, ends), shapes, strict=True)
    return [part.reshape(*shape, 3).astype("float32") for part, shape in parts]


def _projected(rows: np.ndarray, count: int) -> np.ndarray:
    """Return the first principal components of rows, (M, D): (M, count)."""
    centred = rows - rows.mean(axis=0)
    if len(rows) < rows.shape[1]:
        _, _, vectors = np.linalg.svd(centred, full_matrices=False)
        directions = vectors[:count].T
    else:
        directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    # The same sign on each machine: the largest weight of a direction is above 0.
    largest = np.abs(directions).argmax(axis=0)
    found = centred @ (
        directions * np.sign(directions[largest, range(directions.shape[1])])
    )
    return np.pad(found, ((0, 0), (0, count - found.shape[1])))


def _otsu(values: np.ndarray) -> float:
    """Return the threshold that divides values into the two most compact groups.

    Reference: Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    ordered = np.sort(values)
    counts = np.arange(1, len(ordered))
    sums = np.cumsum(ordered)[:-1]
    lower, upper = sums / counts, (ordered.sum() - sums) / (len(ordered) - counts)
    between = counts * (len(ordered) - counts) * (upper - lower) ** 2
    best = int(between.argmax())
    return float((ordered[best] + ordered[best + 1]) / 2)


def _border(shape: tuple[int, ...]) -> np.ndarray:
    """Return which patches, bool (R, C), are at the border."""
    found = np.ones(shape, bool)
    found[1:-1, 1:-1] = False
    return found
