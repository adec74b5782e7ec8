"""Vectors that describe pictures. Shapes: N pictures, D width of a vector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.checks import check_value
from keras_vit.inference.predictor import as_pictures, load_embedder
from keras_vit.preprocessing import Preprocessing


def embed(
    model: keras.Model | str | Path,
    images: Sequence[Any] | np.ndarray,
    *,
    batch_size: int = 32,
    preprocessing: Preprocessing | None = None,
) -> np.ndarray:
    """Return what the classifier of a ViT sees of pictures of any size.

    A model with `num_classes=None` is run as it is, and compiled once. For many calls
    with a classifier make one first: `keras_vit.replace_head(model, None)`.

    Args:
        model: a `keras_vit.ViT` with a pooling; or the path of a `.keras` file, of the
            output folder of `train`, or of what `export` wrote of a model without a
            head.
        images: paths, PIL images or arrays (H, W) or (H, W, C), mixed as you like.
        batch_size: pictures per call of the model. Default 32.
        preprocessing: takes the place of the model's own.

    Returns:
        float32 (N, D), D the `num_features` of the model's config.

    Raises:
        FileNotFoundError: if a model or picture does not exist.
        ImportError: if the runtime for the file is not installed.
        OSError: if a picture cannot be read.
        TypeError: if `model` is no ViT.
        ValueError: if the model has no pooling, nothing says how pictures are
            preprocessed, or a file is the export of a classifier.

    Example:
        ```python
        backbone = keras_vit.load("facebook/dinov2-small", image_size="preprocessing")
        vectors = keras_vit.embed(backbone, ["cat.jpg", "dog.jpg"])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        (vectors @ vectors.T).shape  # (2, 2)
        ```
    """
    check_value(batch_size >= 1, "batch_size", batch_size, "at least 1")
    pictures = as_pictures(images)
    predictor = load_embedder(model, preprocessing)
    vectors = []
    for outputs in predictor.outputs_in_batches(pictures, batch_size):
        vectors += outputs
    if not vectors:
        return np.zeros((0, predictor.num_outputs or 0), "float32")
    if np.ndim(vectors[0]) != 1:
        raise ValueError(
            "Vectors are one per picture, received a model with outputs of shape "
            f"{(None, *np.shape(vectors[0]))}. Export a model that has a pooling."
        )
    return np.stack(vectors)
