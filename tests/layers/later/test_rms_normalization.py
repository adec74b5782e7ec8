from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest

from keras_vit.layers import RMSNormalization
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_rms_normalization_keeps_the_layer_contract(epsilon):
    check_layer(partial(RMSNormalization, epsilon), (2, 5, 8), (2, 5, 8))
    check_layer(partial(RMSNormalization, epsilon, True), (2, 5, 8), (2, 5, 8))


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_rms_normalization_equals_the_formula(epsilon):
    layer, x = RMSNormalization(epsilon), 3 * example((2, 5, 8)) + 1
    layer.build(x.shape)
    set_random_weights(layer)
    root = np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon)
    expected = x / root * to_numpy(layer.gamma)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-5)


def test_rms_normalization_equals_that_of_keras():
    ours, theirs = RMSNormalization(1e-5), keras.layers.RMSNormalization(epsilon=1e-5)
    x = example((2, 5, 8))
    np.testing.assert_allclose(to_numpy(ours(x)), to_numpy(theirs(x)), atol=1e-5)


def test_a_factor_on_the_input_changes_nothing():
    layer, x = RMSNormalization(1e-12), example((2, 5, 8))
    np.testing.assert_allclose(to_numpy(layer(7 * x)), to_numpy(layer(x)), atol=1e-5)


def test_half_precision_does_not_overflow():
    # 300 squared is above the largest float16.
    layer = RMSNormalization(dtype="mixed_float16")
    x = np.full((1, 8), 300, "float16")
    np.testing.assert_allclose(to_numpy(layer(x)), np.ones((1, 8)), atol=1e-3)
