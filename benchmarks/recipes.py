"""Each named recipe on the embedded digits: does its loss fall, and how far?

The recipes are for larger sets, so three fields are changed: `epochs`, `batch_size`,
and `warmup_epochs` to the same share of the epochs. Learning rates, regularization and
augmentation stay, flips and crops too, which do digits no good. Recipes that train from
random weights see about 1,200 images of all digits. Those that fine-tune start from one
model that learned the digits 0 to 4, and learn 5 to 9 from about 600 images.

A loss is the mean of the first or last epoch and the recipe's own, so that rows do not
compare; accuracy is on the held-out third, after the last epoch. A recipe diverges if
a loss is not finite or the last one is above the first; the exit code is 1 then.

    KERAS_BACKEND=jax python benchmarks/recipes.py [--epochs 60]     8 minutes of a core
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace

import keras
from fine_tuning import half

import keras_vit
from keras_vit import RECIPES
from keras_vit.training import get_recipe

FINE_TUNING = ("fine_tune", "deit3_fine_tune", "full_fine_tune", "linear_probe", "lora")


def adapt(recipe: keras_vit.Recipe, epochs: int, batch_size: int) -> keras_vit.Recipe:
    """Return a recipe for another length, with the same share of warm-up."""
    warmup = recipe.warmup_epochs / recipe.epochs * epochs
    return replace(recipe, epochs=epochs, batch_size=batch_size, warmup_epochs=warmup)


def pretrain(seed: int) -> keras_vit.ViT:
    """Return a small ViT that knows the digits 0 to 4."""
    keras.utils.set_random_seed(seed)
    model = keras_vit.ViT.from_variant("digits", num_classes=5)
    recipe = get_recipe("small_data", epochs=40, seed=seed)
    keras_vit.train(model, half(range(5), seed), recipe, verbose=0)
    return model


def diverges(losses: Sequence[float]) -> bool:
    """Return whether a loss by epoch ends above its start, or is not finite."""
    return not all(map(math.isfinite, losses)) or losses[-1] > losses[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trained = pretrain(options.seed)
    diverged = []
    print(
        "| recipe | start | first loss | last loss | accuracy |\n|---|---|---|---|---|"
    )
    for name, named in RECIPES.items():
        recipe = replace(
            adapt(named, options.epochs, options.batch_size), seed=options.seed
        )
        keras.utils.set_random_seed(options.seed)
        if name in FINE_TUNING:
            start, data = "digits 0 to 4", half(range(5, 10), options.seed)
            model = keras_vit.replace_head(trained, data.num_classes)
        else:
            start, data = "random", keras_vit.load_data("digits", seed=options.seed)
            model = keras_vit.ViT.from_variant("digits")
        result = keras_vit.train(model, data, recipe, verbose=0)
        losses = [row["loss"] for row in result.history]
        accuracy = keras_vit.evaluate(model, data).accuracy
        print(
            f"| `{name}` | {start} | {losses[0]:.3f} | {losses[-1]:.3f} | "
            f"{accuracy:.3f} |",
            flush=True,
        )
        if diverges(losses):
            diverged.append(name)
    if diverged:
        sys.exit(f"Diverged: {', '.join(diverged)}.")


if __name__ == "__main__":
    main()
