"""What the first weights of a model have learned.

R, C rows and columns of patches; P patch size; D width of a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.checks import check_value
from keras_vit.explaining.drawing import colours_of, with_legend
from keras_vit.explaining.needs import check_vit
from keras_vit.explaining.plots import tiles
from keras_vit.explaining.shown import Shown
from keras_vit.loading import load

_TILE = 48  # pixels, at least, of a drawn filter
_WHOLE = 480  # pixels, about, of all drawn positions


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PositionSimilarity(Shown):
    """How alike the positions of patches are.

    Args:
        values: float32 (R, C, R, C), the cosine between the position of the patch in
            the row and column of the first two axes and each other one.
    """

    values: np.ndarray

    @property
    def alt_text(self) -> str:
        """What the drawing shows, in words, for those who cannot see it."""
        rows, columns = self.values.shape[:2]
        return (
            f"A tile for each of {rows} times {columns} patches: the cosine between "
            f"its position and those of all patches, {self.values.min():.2f} to 1."
        )

    def image(self) -> Any:
        """Return a tile for each patch, a PIL image with a legend."""
        rows, columns = self.values.shape[:2]
        low, high = float(self.values.min()), float(self.values.max())
        shares = (self.values - low) / max(high - low, 1e-12)
        colours = np.rint(colours_of(shares)).astype("uint8")
        pictures = [one for row in colours for one in row]
        scale = max(1, _WHOLE // (columns * columns))
        drawn = tiles(pictures, columns, scale, gap=max(1, scale))
        return with_legend(drawn, f"{low:.2f}", f"{high:.2f}")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PatchFilters(Shown):
    """What the patches are compared with.

    Args:
        values: float32 (count, P, P, channels), principal components of length 1, the
            most important first.
        shares: float32 (count,), of the variance of all filters.
    """

    values: np.ndarray
    shares: np.ndarray

    @property
    def alt_text(self) -> str:
        """What the drawing shows, in words, for those who cannot see it."""
        return (
            f"The first {len(self.values)} principal components of the filters that "
            f"make tokens of patches, with {self.shares.sum():.0%} of the variance."
        )

    def image(self) -> Any:
        """Return the components as small pictures, a PIL image."""
        values = self.values
        if values.shape[-1] != 3:
            values = np.repeat(values.mean(axis=-1, keepdims=True), 3, axis=-1)
        highest = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
        shown = np.rint(127.5 + 127.5 * values / np.maximum(highest, 1e-12))
        scale = -(-_TILE // max(values.shape[1:3]))
        return tiles(list(shown.astype("uint8")), 7, scale, gap=4)


def position_similarity(model: keras.Model | str | Path) -> PositionSimilarity:
    """Compare the positions that are added to patches, each with each.

    Models that learn them find rows, columns and neighbourhoods by themselves.

    Args:
        model: a `keras_vit.ViT`, or what `load` takes.

    Returns:
        A `PositionSimilarity`: `values`, float32 (R, C, R, C), cosines from -1 to 1. It
        draws itself: `save("positions.png")`.

    Raises:
        TypeError: if the model is no ViT.
        ValueError: if it adds no positions, or does so for images of any size without a
            table.

    Example:
        >>> model = keras_vit.ViT.from_variant("test")
        >>> keras_vit.position_similarity(model).values.shape
        (4, 4, 4, 4)

    Reference: arXiv:2010.11929, figure 7 (centre).
    """
    vit = _opened(model, "position_similarity")
    vectors = _positions(vit).astype("float64")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors = vectors / np.maximum(lengths, 1e-30)
    found = np.einsum("rcd,ijd->rcij", vectors, vectors)
    return PositionSimilarity(values=found.astype("float32"))


def _positions(model: Any) -> np.ndarray:
    """Return the position of each patch, (R, C, D)."""
    config = model.config
    if config.positions is None:
        rotates = "rotates queries and keys instead" if config.rotary else "has none"
        raise ValueError(
            "position_similarity compares positions that are added to patches, "
            f"received a model that {rotates}."
        )
    layer = model.get_layer("patch_encoder").position_embedding
    if config.has_learned_positions:
        rows, columns = config.table_grid
        table = keras.ops.convert_to_numpy(keras.ops.cast(layer.table, "float32"))[0]
    elif config.image_size:
        rows, columns = config.grid_size
        zeros = keras.ops.zeros((1, config.num_tokens, config.hidden_dim))
        table = keras.ops.convert_to_numpy(keras.ops.cast(layer(zeros), "float32"))[0]
    else:
        raise ValueError(
            "The positions of this model follow the size of the image, received a "
            "model with image_size=None. Choose one: keras_vit.resize(model, 224)."
        )
    # Those of other tokens stand before those of the patches.
    return table[-rows * columns :].reshape(rows, columns, -1)


def patch_filters(model: keras.Model | str | Path, count: int = 28) -> PatchFilters:
    """Return the principal components of the filters that make tokens of patches.

    Args:
        model: a `keras_vit.ViT`, or what `load` takes.
        count: how many components, at most as many as there are channels of tokens, or
            values of a patch. Default 28, as in the paper.

    Returns:
        `PatchFilters`: `values`, float32 (count, P, P, channels), and `shares` of the
        variance. They draw themselves: `save("filters.png")`.

    Raises:
        TypeError: if the model is no ViT.
        ValueError: if `count` is out of range, or the filters are quantized.

    Example:
        >>> model = keras_vit.ViT.from_variant("test")
        >>> keras_vit.patch_filters(model).values.shape
        (28, 8, 8, 3)

    Reference: arXiv:2010.11929, figure 7 (left).
    """
    vit = _opened(model, "patch_filters")
    layer = vit.get_layer("patch_encoder").projection
    if layer.quantization_mode is not None:
        raise ValueError(
            "patch_filters reads filters as they were trained, received a model that "
            f"is quantized ({layer.quantization_mode}). Pass the one before that."
        )
    kernel = keras.ops.convert_to_numpy(keras.ops.cast(layer.kernel, "float32"))
    most = min(kernel.shape)
    check_value(1 <= count <= most, "count", count, f"from 1 to {most}")
    filters = kernel.T.astype("float64")  # (D, P * P * channels)
    filters = filters - filters.mean(axis=0)
    _, sizes, directions = np.linalg.svd(filters, full_matrices=False)
    shares = sizes**2 / max(float(np.sum(sizes**2)), 1e-30)
    # The same sign on each machine: the largest weight is above 0.
    directions = directions[:count]
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[range(count), largest])[:, None]
    shape = (count, *vit.config.patch_size, vit.config.channels)
    return PatchFilters(
        values=directions.reshape(shape).astype("float32"),
        shares=shares[:count].astype("float32"),
    )


def _opened(model: Any, function: str) -> Any:
    found = load(model) if isinstance(model, (str, Path)) else model
    check_vit(found, function)
    return found
