"""Vectors that describe pictures. Shapes: N pictures, D width of a vector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.features import pre_logits
from keras_vit.preprocessing import Preprocessing


def embed(
    model: keras.Model,
    images: Sequence[Any] | np.ndarray,
    *,
    batch_size: int = 32,
    preprocessing: Preprocessing | None = None,
) -> np.ndarray:
    """Return what the classifier of a ViT sees of pictures of any size.

    A model with `num_classes=None` is run as it is, and compiled once. For many calls
    with a classifier make one first: `keras_vit.replace_head(model, None)`.

    Args:
        model: a `keras_vit.ViT` with a pooling.
        images: paths, PIL images or arrays (H, W) or (H, W, C), mixed as you like.
        batch_size: pictures per call of the model. Default 32.
        preprocessing: takes the place of the model's own.

    Returns:
        float32 (N, D), D the `num_features` of the model's config.

    Raises:
        FileNotFoundError: if a picture does not exist.
        OSError: if a picture cannot be read.
        TypeError: if `model` is no ViT.
        ValueError: if the model has no pooling, or nothing says how pictures are
            preprocessed.

    Example:
        >>> model = keras_vit.ViT.from_variant(
        ...     "test", preprocessing=keras_vit.Preprocessing(image_size=32)
        ... )
        >>> keras_vit.embed(model, [np.zeros((90, 60, 3)), np.zeros((20, 50))]).shape
        (2, 32)
    """
    if batch_size < 1:
        raise ValueError(
            f"batch_size must be at least 1, received batch_size={batch_size}."
        )
    backbone = pre_logits(model)
    prepare = preprocessing or getattr(model, "preprocessing", None)
    if prepare is None:
        raise ValueError(
            "The model does not say how images are preprocessed. Pass preprocessing="
            "keras_vit.Preprocessing(...), or set model.preprocessing."
        )
    pictures = _as_list(images)
    vectors = [np.zeros((0, backbone.output_shape[-1]), "float32")]
    for start in range(0, len(pictures), batch_size):
        batch = [prepare(picture) for picture in pictures[start : start + batch_size]]
        outputs = backbone.predict_on_batch(np.stack(batch))
        vectors.append(np.asarray(outputs, dtype="float32"))
    return np.concatenate(vectors)


def _as_list(images: Any) -> Any:
    """Return several pictures; one picture becomes a list of itself."""
    if isinstance(images, np.ndarray) and images.ndim == 4:
        return images
    # Arrays and PIL images have a size.
    if isinstance(images, (str, Path)) or hasattr(images, "size"):
        return [images]
    return list(images)
