"""How far do a few labelled pictures get? Neighbours and a head on frozen features.

A trained model turns each picture into a vector, its embedding. A new picture gets the
class of the labelled pictures whose vectors are nearest: nothing is trained, and one
labelled picture per class is enough to begin. With more of them a fitted head is
better. The script takes 1, 5, 10, ... labelled pictures per class at random and prints
what both reach on the test part, with 95 % intervals (Wilson).

Source: weighted neighbours as in Wu et al. 2018, arXiv:1805.01978, section 3.4, with
the settings of DINO (Caron et al. 2021, arXiv:2104.14294): k=20, temperature 0.07.
Command: python examples/knn.py --data photos/ --weights facebook/dinov2-small
Expected: one pass over the pictures, then some seconds per row; for the embedded digits
about two minutes on two cores. docs/research.md has a table.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit.heads.feature_cache import cache_folder
from keras_vit.heads.feature_kinds import backbone as without_head
from keras_vit.heads.feature_kinds import feature_kinds
from keras_vit.heads.feature_pass import FeatureReader
from keras_vit.intervals import wilson_interval

DATA = {"validation_fraction": 0.0, "test_fraction": 1 / 3}


def feature_reader(backbone: keras_vit.ViT, dtype: str = "auto") -> FeatureReader:
    """Return what reads embeddings, (N, D), and keeps them on disk for `fit_head`."""
    pooled = feature_kinds(backbone, "pooled")
    return FeatureReader(
        lambda chosen: without_head(backbone, pooled, chosen),
        backbone.preprocessing,
        dtype=dtype,
        batch_size=32,
        folder=cache_folder(),
    )


def nearest_classes(
    known: np.ndarray,
    labels: np.ndarray,
    new: np.ndarray,
    k: int = 20,
    temperature: float = 0.07,
) -> np.ndarray:
    """Return the class of each new vector by its k nearest known ones.

    Near is a high cosine, and a neighbour's vote counts exp(cosine / temperature).
    """
    known, new = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (known, new))
    cosines = new @ known.T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    votes = np.exp(np.take_along_axis(cosines, nearest, axis=1) / temperature)
    classes = np.arange(labels.max() + 1)
    in_class = labels[nearest][..., None] == classes  # (N, k, classes)
    return np.argmax(np.sum(votes[..., None] * in_class, axis=1), axis=1)


def few_of_each_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the places of `count` pictures of each class, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen = [order[labels[order] == label][:count] for label in np.unique(labels)]
    return np.concatenate(chosen)


def head_classes(
    backbone: keras_vit.ViT, few: keras_vit.ImageData, new: np.ndarray, dtype: str
) -> np.ndarray:
    """Fit a head on a few pictures; return the classes of vectors that it names."""
    folds = min(5, int(np.bincount(few.train.labels).min()))
    how = {"features": "pooled", "dtype": dtype, "verbose": False}
    model = keras_vit.fit_head(backbone, few, folds=folds, **how)
    logits = model.get_layer("head")(new)
    return np.argmax(keras.ops.convert_to_numpy(logits), axis=1)


def row(found: list[float], count: int) -> str:
    """Return the mean accuracy of some draws with its interval on `count` pictures."""
    if not found:
        return f"{'-':>22}"
    low, high = wilson_interval(np.mean(found), count)
    return f"{np.mean(found):.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="as keras_vit.load_data")
    parser.add_argument("--weights", default="facebook/dinov2-small")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 5, 10, 50])
    parser.add_argument("--draws", type=int, default=3, help="of labelled pictures")
    options = parser.parse_args()

    data: Any = keras_vit.load_data(options.data, **DATA)
    how = {"image_size": "preprocessing", "num_classes": None}
    backbone = keras_vit.load(options.weights, **how)
    reader = feature_reader(backbone)
    known, new = reader.read(data.train), reader.read(data.test)
    labels, truth = data.train.labels, data.test.labels
    print(f"{len(truth)} test pictures, {data.num_classes} classes")
    print("labelled per class   neighbours               head")
    smallest = np.bincount(labels).min()
    for count in [c for c in options.counts if 0 < c < smallest] + [len(labels)]:
        neighbours, heads = [], []
        for seed in range(options.draws if count < len(labels) else 1):
            places = few_of_each_class(labels, count, seed)
            found = nearest_classes(known[places], labels[places], new)
            neighbours.append(float(np.mean(found == truth)))
            if min(count, smallest) > 1:  # A head is chosen by cross-validation.
                part = data.train.subset(data.train.indices[places])
                few = replace(data, train=part)
                found = head_classes(backbone, few, new, reader.dtype)
                heads.append(float(np.mean(found == truth)))
        name = "all" if count == len(labels) else count
        print(f"{name:>8}   {row(neighbours, len(truth))}   {row(heads, len(truth))}")


if __name__ == "__main__":
    main()
