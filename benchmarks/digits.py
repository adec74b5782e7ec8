"""Accuracy of the default digits model on the held-out third, and the time to train it.

What `keras-vit train --data digits` does, for several seeds; a seed decides the split,
the weights and the order. Prints accuracy and seconds of each run, then the mean.

Command: KERAS_BACKEND=jax python benchmarks/digits.py [--seeds 5] [--all]
Takes one to two minutes per seed and backend on two cores. Target: mean >= 0.99.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

from backends import run_on_each_backend


def measure(seed: int) -> tuple[float, float]:
    """Train once and return (accuracy on the held-out third, seconds)."""
    import keras

    import keras_vit

    recipe = replace(keras_vit.RECIPES["small_data"], seed=seed)
    data = keras_vit.load_data("digits", seed=seed)
    keras.utils.set_random_seed(seed)
    model = keras_vit.ViT.from_variant("digits")
    result = keras_vit.train(model, data, recipe, verbose=0)
    return keras_vit.evaluate(model, data).accuracy, result.seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Accuracy on the embedded digits.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="all three backends")
    options = parser.parse_args()
    if options.all:
        run_on_each_backend(__file__, "--seeds", str(options.seeds))
        return
    import keras

    backend = keras.backend.backend()
    print("| backend | seed | accuracy | seconds |\n|---|---|---|---|", flush=True)
    runs = []
    for seed in range(options.seeds):
        runs.append(measure(seed))
        accuracy, seconds = runs[-1]
        print(f"| {backend} | {seed} | {accuracy:.4f} | {seconds:.0f} |", flush=True)
    accuracies, times = zip(*runs, strict=True)
    spread = max(accuracies) - min(accuracies)
    print(
        f"| {backend} | mean (spread) | {statistics.mean(accuracies):.4f} "
        f"({spread:.4f}) | {statistics.mean(times):.0f} |"
    )


if __name__ == "__main__":
    main()
