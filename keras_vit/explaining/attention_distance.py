"""How far the heads of each block look. B batch, h heads, N patches, L blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.data.checks import check_value
from keras_vit.explaining.grids import grid_of, patch_size_of
from keras_vit.explaining.kept import kept
from keras_vit.explaining.needs import check_vit
from keras_vit.explaining.plots import dots
from keras_vit.explaining.shown import Shown
from keras_vit.features import attention_scores
from keras_vit.inference.predictor import as_pictures
from keras_vit.loading import load
from keras_vit.model_preprocessing import preprocessing_of
from keras_vit.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AttentionDistance(Shown):
    """How far each head looks.

    Args:
        values: float32 (L, h), pixels of the image that the model takes.
        num_images: that they are the mean of.
    """

    values: np.ndarray
    num_images: int

    @property
    def alt_text(self) -> str:
        """What the plot shows, in words, for those who cannot see it."""
        first, last = self.values[0], self.values[-1]
        return (
            f"Mean attention distance of {self.values.shape[1]} heads in each of "
            f"{len(self.values)} blocks, in pixels: {first.min():.0f} to "
            f"{first.max():.0f} in the first block, {last.min():.0f} to "
            f"{last.max():.0f} in the last."
        )

    def image(self) -> Any:
        """Return a plot with a dot for each head, a PIL image."""
        return dots(self.values, "block", "mean attention distance (pixels)")


def attention_distance(
    model: keras.Model | str | Path,
    images: Sequence[Any] | np.ndarray,
    *,
    batch_size: int = 8,
    preprocessing: Preprocessing | None = None,
) -> AttentionDistance:
    """Measure how far the heads of each block look, on average over pictures.

    It is the mean distance between the centres of two patches, weighted by how much the
    first reads from the second. Class tokens and registers have no place and do not
    count. A head that looks at neighbours is like a convolution; in the first blocks of
    well-trained models there are such heads and others that see the whole picture.

    Args:
        model: a `keras_vit.ViT`, or what `load` takes. It stays as it is.
        images: paths, PIL images or arrays, as for `explain`; the paper takes 128.
        batch_size: pictures per call of the model, at least 1. Default 8.
        preprocessing: takes the place of the model's own.

    Returns:
        An `AttentionDistance`: `values`, float32 (blocks, heads), in pixels. It draws
        itself: `save("distances.png")`.

    Raises:
        TypeError: if the model is no ViT.
        ValueError: if there is no image, attention weights may be below 0, or nothing
            says how images are preprocessed.

    Example:
        ```python
        pictures = ["cat.jpg", "dog.jpg"]
        found = keras_vit.attention_distance("saved_models/photos", pictures)
        found.values.shape  # (4, 2)
        print(found.save("distances.png"))  # distances.png
        ```

    Reference: arXiv:2010.11929, figure 7 (right) and appendix D.7.
    """
    check_value(batch_size >= 1, "batch_size", batch_size, "at least 1")
    if isinstance(model, (str, Path)):
        model = load(model)
    check_vit(model, "attention_distance")
    if model.config.attention == "differential":
        raise ValueError(
            "attention_distance is not defined for differential attention, whose "
            "weights may be below 0, and so are no shares of what is read."
        )
    taken_by = preprocessing or preprocessing_of(model)
    if taken_by is None:
        raise ValueError(
            "The model does not say how images are preprocessed. Set "
            "model.preprocessing = keras_vit.Preprocessing(...), or pass preprocessing."
        )
    pictures = as_pictures(images)
    check_value(len(pictures) > 0, "len(images)", len(pictures), "at least 1")
    size = taken_by.image_size
    key = ("attention_distance", size)
    measure: Any = kept(model, key, lambda: _measure_model(model, size))
    rows = []
    for start in range(0, len(pictures), batch_size):
        some = range(start, min(start + batch_size, len(pictures)))
        taken = np.stack([taken_by(pictures[i]) for i in some])
        rows.append(np.asarray(measure.predict_on_batch(taken)))
    found = np.concatenate(rows)  # (B, L, h)
    return AttentionDistance(
        values=found.mean(axis=0).astype("float32"), num_images=len(found)
    )


def _measure_model(model: Any, size: tuple[int, int]) -> keras.Model:
    """Return a model from images to the distance of each block and head, (B, L, h)."""
    distances = patch_distances(grid_of(model, size), patch_size_of(model, size))
    first = model.config.num_prefix_tokens
    found: Any = attention_scores(model, None)(model.inputs[0])
    of_blocks = []
    for block in range(model.config.num_layers):
        weights = ops.cast(found[f"block_{block}"][:, :, first:, first:], "float32")
        total = ops.sum(weights * distances.astype("float32"), axis=(2, 3))
        of_blocks.append(total / ops.sum(weights, axis=(2, 3)))  # (B, h)
    return keras.Model(model.inputs[0], ops.stack(of_blocks, axis=1))


def patch_distances(grid: tuple[int, int], patch_size: tuple[int, int]) -> np.ndarray:
    """Return pixels between the centres of each two patches, float64 (N, N)."""
    places = np.indices(grid).reshape(2, -1).T * patch_size
    return np.linalg.norm(places[:, None] - places[None], axis=-1)
