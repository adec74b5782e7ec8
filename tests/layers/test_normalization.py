from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest

from keras_vit.layers import LayerNormalization, RMSNormalization
from keras_vit.layers.normalization import FLOAT16_SCALE, divide_by_root_mean_square
from tests.contract import check_layer, example, set_random_weights, to_numpy


def reference(x: np.ndarray, layer: LayerNormalization) -> np.ndarray:
    """Compute the layer in float64."""
    x = x.astype("float64")
    variance = x.var(axis=-1, keepdims=True)
    x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance + layer.epsilon)
    return x * to_numpy(layer.gamma) + to_numpy(layer.beta)


def built(epsilon: float = 1e-6, dtype: str = "float32") -> LayerNormalization:
    layer = LayerNormalization(epsilon, dtype=dtype)
    layer.build((None, None, 16))
    set_random_weights(layer)
    return layer


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
@pytest.mark.parametrize("shape", [(2, 5, 16), (2, 16)])
def test_layer_normalization_keeps_the_layer_contract(epsilon, shape):
    check_layer(partial(LayerNormalization, epsilon, True), shape, shape)
    check_layer(partial(LayerNormalization, epsilon), shape, shape)


@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_layer_normalization_equals_the_formula(epsilon):
    layer, x = built(epsilon), example((2, 5, 16))
    np.testing.assert_allclose(to_numpy(layer(x)), reference(x, layer), atol=1e-5)


def test_layer_normalization_equals_the_one_of_keras():
    layer, x = built(), example((2, 5, 16))
    theirs = keras.layers.LayerNormalization(epsilon=1e-6)
    theirs.build(x.shape)
    theirs.set_weights(layer.get_weights())
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(theirs(x)), atol=1e-5)


def test_layer_normalization_keeps_float32_accuracy_under_mixed_float16():
    # The squares of these inputs are far above 65504, where float16 ends.
    x = (example((2, 5, 16)) * 10000).clip(-60000, 60000).astype("float16")
    layer = built(dtype="mixed_float16")
    np.testing.assert_allclose(
        to_numpy(layer(x)), reference(x, layer), rtol=1e-3, atol=1e-3
    )


def test_layer_normalization_reads_float32_weights_under_mixed_float16():
    layer = built(dtype="mixed_float16")
    # 1 + 2 ** -14 is 1 in float16. With inputs near 1000 the difference shows.
    layer.gamma.assign(np.full(16, 1000.3, "float32"))
    layer.beta.assign(np.full(16, -1000.3, "float32"))
    x = np.tile(np.array([-1, 1], "float16"), (1, 8))
    np.testing.assert_allclose(to_numpy(layer(x))[0, 1::2], 0, atol=2e-3)


def test_layer_normalization_survives_a_mean_far_from_zero():
    x = example((2, 5, 16)) + 1e4
    layer = built()
    np.testing.assert_allclose(to_numpy(layer(x)), reference(x, layer), atol=5e-3)


def test_layer_normalization_starts_as_plain_normalization():
    layer = LayerNormalization()
    layer.build((None, 16))
    gamma, beta = layer.get_weights()
    assert (gamma == 1).all() and not beta.any()


# Squares for float16


@pytest.mark.parametrize("make", [LayerNormalization, RMSNormalization])
def test_norms_for_float16_give_the_same_numbers(make, rng):
    x = rng.normal(size=(2, 5, 32)).astype("float32") * 10
    expected = to_numpy(make()(x))
    found = to_numpy(make(use_float16_squares=True)(x))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_norms_for_float16_hold_larger_values():
    x = keras.ops.convert_to_tensor([1000.0, 1.0, -1.0, 2.0], "float16")
    plain = keras.ops.convert_to_numpy(divide_by_root_mean_square(x, 1e-6))
    safe = divide_by_root_mean_square(x, 1e-6, FLOAT16_SCALE)
    assert plain[0] == 0  # its square is infinite
    np.testing.assert_allclose(keras.ops.convert_to_numpy(safe)[0], 2.0, rtol=2e-3)
