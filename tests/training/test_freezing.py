"""Which layers train."""

import numpy as np
import pytest

import keras_vit
from keras_vit.training import CrossEntropy, freeze, unfreeze


def test_only_what_follows_the_named_layer_trains():
    model = keras_vit.ViT.from_variant("test", num_classes=3, num_layers=3)
    freeze(model, until="block_1")
    model.compile("sgd", CrossEntropy())
    before = {w.path: np.array(w) for w in model.weights}
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    for _ in range(2):  # The first step only moves the classifier away from zero.
        model.train_on_batch(images, np.arange(4) % 3)
    moved = {p for p in before if not np.array_equal(before[p], now(model)[p])}
    assert {path.split("/")[0] for path in moved} == {"block_2", "norm", "head"}
    unfreeze(model)
    assert len(model.trainable_weights) == len(model.weights)


def now(model) -> dict[str, np.ndarray]:
    return {w.path: np.array(w) for w in model.weights}


def test_a_layer_that_does_not_exist_is_refused_with_the_names():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    with pytest.raises(ValueError, match="until='block_8'.*'patch_encoder', 'block_0'"):
        freeze(model, until="block_8")
