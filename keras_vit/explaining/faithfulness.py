"""Whether a map says what a model looks at: measured by what the model answers.

R, C rows and columns of patches; S steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.checks import check_count
from keras_vit.explaining.explanation import Explanation
from keras_vit.explaining.grids import grid_of, patch_size_of
from keras_vit.explaining.targets import class_of
from keras_vit.inference.predictor import Predictor, as_pictures, load_predictor
from keras_vit.loading import load
from keras_vit.model import ViT
from keras_vit.pages.in_notebook import InNotebook, plain_facts, plain_table
from keras_vit.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True, eq=False)
class Faithfulness(InNotebook):
    """What becomes of a probability as patches go or come, in the order of a map.

    Args:
        shares: of the patches that are gone or there, from 0 to 1, float32 (S + 1,).
        deletion: probability of the class, the patches with the highest values being
            hidden first, float32 (S + 1,).
        insertion: the same, these patches being shown first, over a blurred picture.
        target: number of the class.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        found = keras_vit.explain(model, ["cat.jpg"])
        [curves] = keras_vit.deletion_insertion(model, ["cat.jpg"], found, steps=4)
        curves.shares  # array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
        0 <= curves.deletion_area <= 1  # True
        ```
    """

    shares: np.ndarray = field(repr=False)
    deletion: np.ndarray = field(repr=False)
    insertion: np.ndarray = field(repr=False)
    target: int

    @property
    def deletion_area(self) -> float:
        """Area under `deletion`, from 0 to 1: the lower, the better the map."""
        return _area(self.deletion, self.shares)

    @property
    def insertion_area(self) -> float:
        """Area under `insertion`, from 0 to 1: the higher, the better the map."""
        return _area(self.insertion, self.shares)

    def _notebook(self) -> Iterator[str]:
        yield plain_facts(
            [
                ("deletion, the lower the better", f"{self.deletion_area:.3f}"),
                ("insertion, the higher the better", f"{self.insertion_area:.3f}"),
            ]
        )
        curves = zip(self.shares, self.deletion, self.insertion, strict=True)
        rows = [(f"{share:.0%}", f"{a:.3f}", f"{b:.3f}") for share, a, b in curves]
        titles = ("of the patches", "deletion", "insertion")
        yield plain_table("Probability of the class", titles, rows)


def _area(values: np.ndarray, shares: np.ndarray) -> float:
    """Return the area under a curve: NumPy 1.26 and 2 have no common name for it."""
    return float(((values[1:] + values[:-1]) / 2 * np.diff(shares)).sum())


def deletion_insertion(
    model: keras.Model | str | Path,
    images: Sequence[Any] | np.ndarray,
    explanations: Sequence[Explanation] | None,
    *,
    target: int | str | None = None,
    steps: int = 16,
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> list[Faithfulness]:
    """Measure how faithful maps are: hide or show the patches that they put first.

    Deletion hides patches by the mean colour of the picture, those with the highest
    values first: the faster the probability of the class falls, the better the map.
    Insertion shows them first on a blurred picture: the faster it grows, the better.
    The curves of different maps of the same pictures can be compared; beside them, the
    random order says what no knowledge gives.

    Args:
        model: a `keras_vit.ViT`, another Keras classifier of images, or what `load`
            takes. It stays as it is.
        images: paths, PIL images or arrays, as `explain` takes them.
        explanations: one map for each of them, from `explain`. None: a random order.
        target: number or name of the class. Default None: that of the map, else the
            most likely of each picture.
        steps: how many parts of the patches go one after the other, at least 1; each
            takes two forward passes. Default 16.
        seed: of the random order. Default 0.
        preprocessing: takes the place of the model's own.

    Returns:
        The curves of each picture.

    Raises:
        FileNotFoundError: if the model or a picture does not exist.
        OSError: if a picture cannot be read.
        ValueError: if the model has no classes, the numbers of pictures and maps
            differ, a map is of another grid than the model's, or an option is out of
            range.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        found = keras_vit.explain(model, ["cat.jpg"])
        [curves] = keras_vit.deletion_insertion(model, ["cat.jpg"], found, steps=4)
        [chance] = keras_vit.deletion_insertion(model, ["cat.jpg"], None, steps=4)
        curves.deletion.shape  # (5,)
        print(curves.deletion_area, chance.deletion_area)
        ```

    Reference: Petsiuk, Das and Saenko, RISE, arXiv:1806.07421, section 4.2.
    """
    check_count("steps", steps, 1)
    if isinstance(model, (str, Path)):
        model = load(model)
    if isinstance(model, ViT) and model.config.num_classes is None:
        raise ValueError(
            "Deletion and insertion look at the probability of a class, received a "
            "model without a head. Fit one: keras_vit.fit_head."
        )
    predictor = load_predictor(model, preprocessing)
    pictures = as_pictures(images)
    if explanations is not None and len(explanations) != len(pictures):
        raise ValueError(
            "There must be a map for each picture, received "
            f"{len(explanations)} maps for {len(pictures)} pictures."
        )
    random = np.random.default_rng(seed)
    found = []
    for number in range(len(pictures)):
        image = predictor.preprocessing.to_values(pictures[number])
        if explanations is None:
            grid = grid_of(model, image.shape[:2])
            ranks, wanted = random.random(grid), target
        else:
            one = explanations[number]
            ranks, wanted = one.patches, one.target if target is None else target
        found.append(_curves(predictor, model, image, ranks, wanted, steps))
    return found


def _curves(
    predictor: Predictor,
    model: Any,
    image: np.ndarray,
    ranks: np.ndarray,
    target: int | str | None,
    steps: int,
) -> Faithfulness:
    owners = _owners(model, image, ranks.shape)
    order = np.argsort(-ranks.ravel(), kind="stable")
    place = np.empty(order.size, int)
    place[order] = np.arange(order.size)
    counts = np.rint(np.linspace(0, order.size, steps + 1)).astype(int)
    first = place[owners][None] < counts[:, None, None]  # (S + 1, height, width)
    colour = image.mean(axis=(0, 1), keepdims=True)
    deleted = np.where(first[..., None], colour, image[None])
    inserted = np.where(first[..., None], image[None], _blurred(image))
    outputs = [
        np.asarray(predictor.run(some.astype(image.dtype)))
        for some in (deleted, inserted)
    ]
    if outputs[0].ndim != 2:
        raise ValueError(
            "Deletion and insertion look at the probability of a class, received a "
            f"model with outputs of shape {(None, *outputs[0].shape[1:])}. Pass a "
            "classifier."
        )
    target = class_of(predictor, target, outputs[0][0])
    rows = [predictor.probabilities(some) for some in outputs]
    deletion, insertion = (row[:, target].astype("float32") for row in rows)
    shares = (counts / order.size).astype("float32")
    return Faithfulness(
        shares=shares, deletion=deletion, insertion=insertion, target=target
    )


def _owners(model: Any, image: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Return the number of the patch that each pixel is in, int (height, width)."""
    size = image.shape[:2]
    if grid != grid_of(model, size):
        raise ValueError(
            f"A map of {grid[0]} x {grid[1]} patches does not fit the images of "
            f"{size[0]} x {size[1]} pixels that the model takes. Pass what explain "
            "found with this model."
        )
    sides = [
        np.minimum(np.arange(length) // step, count - 1)
        for length, count, step in zip(
            size, grid, patch_size_of(model, size), strict=True
        )
    ]
    return sides[0][:, None] * grid[1] + sides[1][None]


def _blurred(image: np.ndarray) -> np.ndarray:
    """Return an image, (height, width, channels), without what is small.

    A Gaussian of a deviation of a twentieth of the longer side: RISE takes 10 pixels
    of 224.
    """
    deviation = max(image.shape[:2]) / 20
    for axis in (0, 1):
        length = image.shape[axis]
        distance = np.arange(length)[:, None] - np.arange(length)[None]
        weights = np.exp(-0.5 * (distance / deviation) ** 2)
        weights /= weights.sum(axis=1, keepdims=True)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
    return image
