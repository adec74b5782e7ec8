"""Fine-tuning on new classes: accuracy against trainable parameters.

A small ViT is trained on the digits 0 to 4. Then it learns 5 to 9 from half of their
training images, about 300, in each of the ways that the recipes offer, and from random
weights for comparison. What trains few parameters has a higher learning rate. Accuracy
on the held-out third of the digits 5 to 9, mean of the seeds, which decide split,
weights and order.

    KERAS_BACKEND=jax python benchmarks/fine_tuning.py [--seeds 3]    about 8 minutes
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import keras
import numpy as np

import keras_vit
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import get_recipe

# What each way changes of the recipe small_data.
WAYS: dict[str, dict[str, Any]] = {
    "from random weights": {},
    "full": {},
    "layer decay 0.65": {"layer_decay": 0.65},
    "blocks 0 and 1 frozen": {"freeze_until": "block_1"},
    "LoRA, rank 4": {
        "train_only": "lora",
        "lora_rank": 4,
        "weight_decay": 0.0,
        "learning_rate": 1e-2,
    },
    "linear probe": {
        "train_only": "head",
        "weight_decay": 0.0,
        "learning_rate": 2e-2,
    },
    "fitted head": {},
    "fitted head, photos_pretrained": {},
    "fitted head, photos_lora": {},
}
# No crops and flips, which do digits no good; few images, so more epochs.
AFTER_THE_HEAD = {"augmentation": keras_vit.Augmentation(), "epochs": 30}


def half(classes: range, seed: int, share: int = 1) -> keras_vit.ImageData:
    """Return digits of some classes, numbered from 0; one of `share` to train on."""
    images, labels = load_digits()
    chosen = np.isin(labels, list(classes))
    images, labels = images[chosen], labels[chosen] - classes.start
    data = keras_vit.load_data(
        (images, labels), validation_fraction=0.0, test_fraction=1 / 3, seed=seed
    )
    train, test = data.train.indices[::share], data.test.indices
    return keras_vit.load_data(
        {
            "train": (images[train], labels[train]),
            "test": (images[test], labels[test]),
        },
        validation_fraction=0.0,
    )


def fitted(model: Any, data: keras_vit.ImageData) -> Any:
    """Return a model whose head is scikit-learn's logistic regression."""
    from sklearn.linear_model import LogisticRegressionCV

    model.preprocessing = keras_vit.Preprocessing(image_size=16, channels=1)
    images, labels = next(iter(data.train.batches(model.preprocessing, 10**6)))
    features = keras_vit.pre_logits(model).predict(images, verbose=0)
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    found = LogisticRegressionCV(max_iter=1000).fit((features - mean) / std, labels)
    kernel = found.coef_.T / std[:, None]
    model.get_layer("head").logits.set_weights(
        [kernel, found.intercept_ - mean @ kernel]
    )
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    trainable: dict[str, int] = {}
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        first = keras_vit.ViT.from_variant("digits", num_classes=5)
        recipe = get_recipe("small_data", epochs=60, seed=seed)
        keras_vit.train(first, half(range(5), seed), recipe, verbose=0)
        data = half(range(5, 10), seed, share=2)
        for way, changes in WAYS.items():
            keras.utils.set_random_seed(seed)
            model = keras_vit.replace_head(first, 5)
            if way == "from random weights":
                model = keras_vit.ViT.from_variant("digits", num_classes=5)
            recipe = get_recipe(
                "small_data",
                **{"epochs": 60, "batch_size": 32, "seed": seed, **changes},
            )
            trainable[way] = sum(
                math.prod(weight.shape)
                for weight in recipe.prepared(model).trainable_weights
            )
            if way.startswith("fitted head"):
                model = fitted(model, data)
                name = way.rpartition(" ")[2]
                if name in keras_vit.RECIPES:
                    recipe = get_recipe(name, seed=seed, **AFTER_THE_HEAD)
            if way != "fitted head":
                keras_vit.train(model, data, recipe, verbose=0)
            found[way].append(keras_vit.evaluate(model, data).accuracy)
    print("| way | trainable parameters | mean accuracy | lowest | highest |")
    print("|---|---|---|---|---|")
    for way, values in found.items():
        print(
            f"| {way} | {trainable[way]:,} | {np.mean(values):.4f} | "
            f"{min(values):.4f} | {max(values):.4f} |"
        )


if __name__ == "__main__":
    main()
