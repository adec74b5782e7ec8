"""How long a run will take, before its first step."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from keras import ops

from keras_vit.lora import has_lora
from keras_vit.training.memory import largest_size, rematerialization, trained_share
from keras_vit.training.recipe import Recipe

# A layer takes longer than its matrix products (benchmarks/training_memory.py).
_AROUND_PRODUCTS = 1.6
_PROBE_SECONDS = 0.15
_PROBE_ROWS = 1024


def run_seconds(
    model: Any, recipe: Recipe, num_train: int, num_validation: int
) -> float | None:
    """Return how long a run will take, seconds; None if nothing says.

    By the multiply-accumulates of the model and a matrix product of its widths, timed
    for a moment: right to a factor of two or so. What the data takes is not in it.

    Args:
        model: `TrainingModel`, prepared as it trains.
        recipe: to train it with.
        num_train: images of an epoch.
        num_validation: images evaluated after each.
    """
    config, size = getattr(model.model, "config", None), largest_size(model, recipe)
    if config is None or size is None:
        return None
    config = config.changed(image_size=size[:2])
    rate = _products_per_second(config, model.compute_dtype)
    forward = config.macs * _AROUND_PRODUCTS / rate
    # Gradients of the activations, and of the weights, cost a pass each.
    passes = 1 + trained_share(model.model) * (1.5 if has_lora(model.model) else 2)
    if rematerialization(model.model) == "full":
        passes += 1
    per_epoch = passes * num_train * recipe.repeated_augmentation + num_validation
    return recipe.epochs * per_epoch * forward


def _products_per_second(config: Any, dtype: str) -> float:
    """Return the multiply-accumulates per second of a product as in the MLP."""
    rng = np.random.default_rng(0)
    left, right = (
        ops.cast(ops.convert_to_tensor(rng.standard_normal(shape, "float32")), dtype)
        for shape in (
            (_PROBE_ROWS, config.hidden_dim),
            (config.hidden_dim, config.mlp_dim),
        )
    )

    def product() -> None:
        # Its values are fetched, as some backends do not wait for the device.
        ops.convert_to_numpy(ops.cast(ops.sum(ops.matmul(left, right)), "float32"))

    product()  # Compiles.
    count, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < _PROBE_SECONDS or count < 2:
        product()
        count += 1
    macs = _PROBE_ROWS * config.hidden_dim * config.mlp_dim
    return macs * count / seconds
