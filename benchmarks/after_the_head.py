"""What fine-tuning adds to a fitted head, on real pictures and real weights.

    pip download --no-deps conformal-clip-data==0.1.4      2,000 inspection pictures
    KERAS_BACKEND=tensorflow python benchmarks/after_the_head.py \
        --weights DINOV2 --data FOLDER --recipe photos_lora --epochs 3

A fifth of the pictures is a test part that neither the head nor the recipe sees, and a
tenth chooses the best epoch. The head is fitted, the recipe trains on from it, and both
are judged on the same test pictures. The interval of the difference is that of paired
shares: what counts are the pictures that one gets right and the other does not.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

import keras_vit
from keras_vit.training import get_recipe
from keras_vit.training.card import wilson_interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipe", default="photos_lora")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", help="folder of the run; default: none is kept")
    options = parser.parse_args()
    data = keras_vit.load_data(options.data, validation_fraction=0.1, test_fraction=0.2)
    model = keras_vit.load(options.weights, image_size="preprocessing")
    head = keras_vit.fit_head(model, data)
    labels = np.asarray(data.test.labels)
    right = [_right(head, data, labels)]
    recipe = get_recipe(options.recipe, epochs=options.epochs)
    # The model gets the weights of the best epoch, if one is better than its own.
    found = keras_vit.train(head, data, recipe, output=options.output)
    right.append(_right(head, data, labels))
    print(
        f"\n| {len(labels)} test pictures | accuracy | 95 % interval |\n|---|---|---|"
    )
    for name, one in zip(("fitted head", options.recipe), right, strict=True):
        low, high = wilson_interval(one.mean(), len(one))
        print(f"| {name} | {one.mean():.4f} | {low:.4f} to {high:.4f} |")
    change = right[1].astype(int) - right[0]
    error = change.std() / math.sqrt(len(change))
    print(
        f"difference {100 * change.mean():+.2f} points, 95 % interval "
        f"{100 * (change.mean() - 1.96 * error):+.2f} to "
        f"{100 * (change.mean() + 1.96 * error):+.2f}; {options.epochs} epochs of "
        f"{len(data.train)} pictures in {found.seconds / 60:.1f} minutes"
    )


def _right(model: Any, data: Any, labels: np.ndarray) -> np.ndarray:
    """Return whether the most likely class of each test picture is the right one."""
    rows = [
        model.predict_on_batch(np.asarray(batch[0]))
        for batch in data.test.batches(model.preprocessing, 32)
    ]
    return np.concatenate([np.asarray(row) for row in rows]).argmax(axis=1) == labels


if __name__ == "__main__":
    main()
