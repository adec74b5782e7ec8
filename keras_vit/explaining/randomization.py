"""Whether a map depends on what the model has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.checks import check_count
from keras_vit.explaining.explain import explain
from keras_vit.inference.predictor import as_pictures
from keras_vit.loading import load
from keras_vit.model import ViT
from keras_vit.model_copy import plain_copy


@dataclass(frozen=True, kw_only=True)
class Randomized:
    """How much maps still look like those of the trained model.

    Args:
        layer: "trained" for the model as it is; else the layer down to which, from the
            head on, all have forgotten.
        correlation: Spearman's rank correlation with the maps of the trained model,
            mean over the pictures, from -1 to 1.

    Example:
        ```python
        rows = keras_vit.randomization_test("saved_models/photos", ["cat.jpg"], every=4)
        for row in rows:
            print(f"{row.layer}: {row.correlation:.2f}")
        rows[0]  # Randomized(layer='trained', correlation=1.0)
        ```
    """

    layer: str
    correlation: float


def randomization_test(
    model: ViT | str | Path,
    images: Sequence[Any] | np.ndarray,
    *,
    every: int = 1,
    seed: int = 0,
    **options: Any,
) -> list[Randomized]:
    """Draw maps of a model that forgets layer by layer, from the head down.

    To forget, the values of each weight are put in a random order: the scale stays.
    A map that stays as it was says nothing about what the model has learned: it is a
    picture of the picture. A good one becomes another one, with a correlation near 0.
    Methods that are about no class do not see the head, so that its row is 1 for them.

    Args:
        model: a trained `keras_vit.ViT`, or what `load` takes. It stays as it is.
        images: paths, PIL images or arrays, as `explain` takes them.
        every: number of blocks that forget between two rows, at least 1. Default 1.
        seed: of the random order. Default 0.
        options: of `explain`, such as `method="relevance"`. The class is that which the
            trained model finds the most likely, unless `target` says another.

    Returns:
        A row for the model as it is, one for the head, and so on down to the patches.

    Raises:
        TypeError: if the model is no ViT.
        ValueError: as `explain`; or if `every` is out of range, or a method gives
            colours, which have no order.

    Example:
        ```python
        rows = keras_vit.randomization_test("saved_models/photos", ["cat.jpg"], every=2)
        [row.layer for row in rows]
        # ['trained', 'head', 'block_2', 'block_0', 'patch_encoder']
        rows[0].correlation  # 1.0
        ```

    Reference: Adebayo et al., Sanity Checks for Saliency Maps, arXiv:1810.03292,
    section 3.1 (cascading randomization, which draws the weights anew).
    """
    if isinstance(model, (str, Path)):
        model = load(model)
    if not isinstance(model, ViT):
        raise TypeError(
            "The layers that forget are those of a keras_vit.ViT, received "
            f"{type(model).__name__}. Pass a ViT."
        )
    check_count("every", every, 1)
    images = as_pictures(images)
    if not len(images):
        raise ValueError("There must be at least one image, received none.")
    known = explain(model, images, **options)
    if any(one.patches.ndim != 2 for one in known):
        raise ValueError(
            "Colours have no order that could be compared, received "
            f"method={known[0].method!r}. Take a method whose maps are numbers."
        )
    forgetful: Any = plain_copy(model)
    random = np.random.default_rng(seed)
    # Pictures whose maps are for the same class are looked at together.
    groups: dict[int | None, list[int]] = {}
    for number, one in enumerate(known):
        groups.setdefault(one.target, []).append(number)
    rows = [Randomized(layer="trained", correlation=1.0)]
    for name, layers in _stages(model, every):
        for layer in layers:
            _shuffle(forgetful.get_layer(layer), random)
        each = []
        for target, numbers in groups.items():
            asked = options if target is None else {**options, "target": target}
            some = [images[number] for number in numbers]
            for number, one in zip(
                numbers, explain(forgetful, some, **asked), strict=True
            ):
                each.append(_rank_correlation(known[number].patches, one.patches))
        rows.append(Randomized(layer=name, correlation=float(np.mean(each))))
    return rows


def _shuffle(layer: Any, random: np.random.Generator) -> None:
    """Put the values of each weight of a layer in a random order."""
    for weight in layer.weights:
        values = keras.ops.convert_to_numpy(weight)
        weight.assign(random.permutation(values.ravel()).reshape(values.shape))


def _stages(model: ViT, every: int) -> list[tuple[str, list[str]]]:
    """Return the layers that forget together, from the head down, each with a name."""
    with_weights = [layer.name for layer in model.layers if layer.weights]
    blocks = [name for name in with_weights if name.startswith("block_")]
    start, stop = with_weights.index(blocks[0]), with_weights.index(blocks[-1])
    after, before = with_weights[stop + 1 :], with_weights[:start]
    stages = [(after[-1], after)] if after else []
    blocks.reverse()
    for first in range(0, len(blocks), every):
        some = blocks[first : first + every]
        stages.append((some[-1], some))
    if before:
        stages.append((before[0], before))
    return stages


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's correlation of two maps, 0 if one of them is even."""
    ranks = [_ranks(values.ravel()) for values in (one, other)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0; equal values share the mean of theirs."""
    _, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[numbers]
