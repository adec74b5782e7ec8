"""Copies of any Keras model."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.model_copy import plain_copy, write_weights
from tests.contract import example, set_random_weights, to_numpy


class Shift(keras.layers.Layer):
    """A layer that its author did not register, with a weight."""

    def __init__(self, count: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape) -> None:
        self.shift = self.add_weight(shape=(self.count,), name="shift")

    def call(self, x):
        return x + self.shift

    def get_config(self):
        return {**super().get_config(), "count": self.count}


def own_model() -> keras.Model:
    """Return a model with everything that a user's may have: nested, shared, own."""
    inputs = keras.Input((6,))
    shared = keras.layers.Dense(6, name="shared")
    x = shared(keras.layers.Dropout(0.3)(shared(inputs)))
    x = keras.layers.BatchNormalization(name="norm")(Shift(6, name="shift")(x))
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)], name="inner")
    model = keras.Model(inputs, inner(x), name="own")
    set_random_weights(model)
    model.get_layer("norm").moving_variance.assign(np.ones(6))
    return model


def test_a_copy_computes_the_same_with_weights_of_its_own():
    model = own_model()
    copy = plain_copy(model)
    x = example((3, 6))
    np.testing.assert_array_equal(to_numpy(copy(x)), to_numpy(model(x)))
    assert copy.name == "own" and type(copy) is type(model)
    names = [[(w.name, w.shape) for w in m.weights] for m in (model, copy)]
    assert names[0] == names[1]
    expected = to_numpy(model(x))
    set_random_weights(copy, seed=3)
    np.testing.assert_array_equal(to_numpy(model(x)), expected)


def test_a_copy_of_a_compiled_model_is_not_compiled():
    model = own_model()
    model.compile("adam", "mse")
    model.fit(example((4, 6)), example((4, 4)), verbose=0)
    copy = keras_vit.changed(model)
    assert model.compiled and not copy.compiled
    np.testing.assert_array_equal(
        to_numpy(copy(example((2, 6)))), to_numpy(model(example((2, 6))))
    )


def test_a_lambda_of_the_user_is_copied():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    x = example((2, 6))
    np.testing.assert_array_equal(to_numpy(keras_vit.changed(model)(x)), 2 * x)


def test_weights_are_written_back_without_the_factors_of_the_copy():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    copy = keras_vit.changed(model, lora=keras_vit.LoRA(2))
    set_random_weights(copy)
    write_weights(copy, model)
    x = example((2, 32, 32, 3))
    expected = to_numpy(copy(x))
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)
    # And back: the factors add nothing to what is whole already.
    write_weights(model, copy)
    np.testing.assert_array_equal(to_numpy(copy(x)), to_numpy(model(x)))


def test_other_models_have_another_number_of_weights():
    with pytest.raises(ValueError):
        write_weights(own_model(), keras_vit.ViT.from_variant("test"))
