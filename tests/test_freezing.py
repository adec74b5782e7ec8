"""Which layers train."""

import numpy as np
import pytest

import keras_vit
from keras_vit import changed
from keras_vit.keras_internals import layer_paths
from keras_vit.training import CrossEntropy


def small() -> keras_vit.ViT:
    return keras_vit.ViT.from_variant("test", num_classes=3, num_layers=3)


def now(model) -> dict[str, np.ndarray]:
    return {w.path: np.array(w) for w in model.weights}


def test_only_what_follows_the_named_layer_trains():
    given = small()
    model = changed(given, freeze_until="block_1")
    model.compile("sgd", CrossEntropy())
    before = now(model)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
    for _ in range(2):  # The first step only moves the classifier away from zero.
        model.train_on_batch(images, np.arange(4) % 3)
    moved = {p for p in before if not np.array_equal(before[p], now(model)[p])}
    assert {path.split("/")[0] for path in moved} == {"block_2", "norm", "head"}
    free = changed(model, train_only="all")
    assert len(free.trainable_weights) == len(free.weights)
    for path, value in now(given).items():
        np.testing.assert_array_equal(value, before[path])
    assert len(given.trainable_weights) == len(given.weights)


def test_a_layer_that_does_not_exist_is_refused_with_the_names():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    with pytest.raises(ValueError, match="until='block_8'.*'patch_encoder', 'block_0'"):
        changed(model, freeze_until="block_8")


def test_the_head_trains_alone():
    model = changed(small(), train_only="head")
    assert {w.path.split("/")[0] for w in model.trainable_weights} == {"head"}
    with pytest.raises(ValueError, match="Build the model with num_classes"):
        changed(model, num_classes=None, train_only="head")
    with pytest.raises(ValueError, match="Use freeze_until for other layers"):
        changed(model, train_only="norm")  # pyright: ignore[reportArgumentType]


def test_what_is_frozen_deep_inside_stays_frozen_in_a_copy():
    model = small()
    model.get_layer("block_1").mlp.trainable = False
    paths = layer_paths(model)
    paths["block_2/attention/qkv"].bias.trainable = False
    expected = [w.path for w in model.trainable_weights]
    for copy in (changed(model, dropout_rate=0.1), changed(changed(model))):
        assert [w.path for w in copy.trainable_weights] == expected
    assert len(expected) == len(model.weights) - 4 - 1
