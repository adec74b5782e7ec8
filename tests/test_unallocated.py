"""Models that are built without first values, and the names of Keras that it takes."""

from __future__ import annotations

import gc

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.keras_internals import initialize, unallocated


def test_a_model_of_billions_of_weights_can_be_looked_at():
    with unallocated():
        model = keras_vit.ViT.from_variant("G/14")
    assert model.count_params() == model.config.num_parameters == 1_844_440_680
    assert model.output_shape == (None, 1000)


def test_the_next_scope_leaves_unallocated_models_alone():
    with unallocated():
        model = keras_vit.ViT.from_variant("test")
    with keras.StatelessScope():
        pass
    assert all(weight._value is None for weight in model.weights)


def test_initialize_takes_values_and_first_values():
    with unallocated():
        model = keras_vit.ViT.from_variant("test", dropout_rate=0.5)
    kernel = np.random.default_rng(0).normal(size=(64, 32)).astype("float32")
    values = {"block_1/mlp/contract/kernel": kernel}
    initialize(model, values)
    found = {w.path: keras.ops.convert_to_numpy(w.value) for w in model.weights}
    np.testing.assert_array_equal(found["block_1/mlp/contract/kernel"], kernel)
    assert found["block_0/mlp/contract/kernel"].std() > 0
    assert not values
    images = np.zeros((2, 32, 32, 3), "float32")
    assert np.isfinite(keras.ops.convert_to_numpy(model(images, training=True))).all()


def test_a_loaded_model_trains_and_saves(tmp_path):
    keras_vit.ViT.from_variant("test", num_classes=3).save(tmp_path / "model.keras")
    model = keras_vit.load(tmp_path / "model.keras", dropout_rate=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    before = [keras.ops.convert_to_numpy(w.value) for w in model.trainable_weights]
    model.fit(np.ones((4, 32, 32, 3)), np.arange(4) % 3, epochs=3, verbose=0)
    after = [keras.ops.convert_to_numpy(w.value) for w in model.trainable_weights]
    # The head starts at zero, so the others follow from the second step on.
    assert all((x != y).any() for x, y in zip(before, after, strict=True))
    model.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    images = np.ones((1, 32, 32, 3), "float32")
    expected = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(images)), expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "mixed_bfloat16"])
def test_values_take_the_type_of_their_weight(dtype):
    with unallocated():
        model = keras_vit.ViT.from_variant("test", dtype=dtype)
    path = "block_0/mlp/contract/bias"
    initialize(model, {path: np.full(32, 0.5, "float32")})
    weight = next(w for w in model.weights if w.path == path)
    assert weight.dtype == dtype.replace("mixed_bfloat16", "float32")
    value = keras.ops.convert_to_numpy(keras.ops.cast(weight.value, "float32"))
    assert (value == 0.5).all()


def test_values_do_not_alias_what_they_were_read_from():
    with unallocated():
        model = keras_vit.ViT.from_variant("test")
    path, source = "block_0/mlp/contract/bias", np.zeros(32, "float32")
    initialize(model, {path: source})
    source += 1
    gc.collect()
    weight = next(w for w in model.weights if w.path == path)
    assert not keras.ops.convert_to_numpy(weight.value).any()
