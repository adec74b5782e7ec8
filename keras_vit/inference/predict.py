"""The most likely classes of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.inference.predictor import Predictor, load_predictor
from keras_vit.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class that a model considers.

    Args:
        class_name: its name, or its number if the model has no names.
        index: its number, from 0.
        probability: between 0 and 1.
    """

    class_name: str
    index: int
    probability: float


def predict(
    model: keras.Model | str | Path | Predictor,
    images: Sequence[Any] | np.ndarray,
    *,
    top: int = 5,
    batch_size: int = 32,
    preprocessing: Preprocessing | None = None,
) -> list[list[Prediction]]:
    """Classify pictures of any size; preprocessing and class names come from the model.

    Args:
        model: a Keras model; or the path of a `.keras` file, a file or folder of
            `export`, or the output folder of `train`.
        images: paths, PIL images or arrays (H, W) or (H, W, C), mixed as you like;
            values as `preprocessing.value_range` says, [0, 255] if nothing else is set.
        top: number of classes for each picture, at least 1. Default 5.
        batch_size: pictures per call of the model. Default 32.
        preprocessing: takes the place of the model's own.

    Returns:
        For each picture its classes, the most likely first.

    Raises:
        FileNotFoundError: if a model or picture does not exist.
        ImportError: if the runtime for the file is not installed.
        OSError: if a picture cannot be read.
        ValueError: if the model cannot be used for classification.

    Example:
        >>> model = keras_vit.ViT.from_variant(
        ...     "test", num_classes=3, class_names=["cat", "dog", "owl"],
        ...     preprocessing=keras_vit.Preprocessing(image_size=32),
        ... )
        >>> [[best, second]] = keras_vit.predict(model, [np.zeros((90, 60, 3))], top=2)
        >>> best.class_name, round(best.probability, 2)
        ('cat', 0.33)
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, received top={top}.")
    is_batch = getattr(images, "ndim", None) == 4
    if isinstance(images, (str, Path)) or (hasattr(images, "size") and not is_batch):
        images = [images]
    if not isinstance(images, np.ndarray):
        images = list(images)
    if batch_size < 1:
        raise ValueError(
            f"batch_size must be at least 1, received batch_size={batch_size}."
        )
    if isinstance(model, Predictor):
        predictor = model
    else:
        predictor = load_predictor(model, preprocessing)
    results = []
    for start in range(0, len(images), batch_size):
        outputs = predictor.outputs(images[start : start + batch_size])
        if outputs.ndim != 2:
            raise ValueError(
                "Only a classifier can predict classes, received a model with outputs "
                f"of shape {outputs.shape}. Build it with num_classes."
            )
        for row in predictor.probabilities(outputs):
            order = np.argsort(-row, kind="stable")[:top]
            results.append(
                [
                    Prediction(predictor.class_name(int(i)), int(i), float(row[i]))
                    for i in order
                ]
            )
    return results
