from __future__ import annotations

from functools import partial

import numpy as np

from keras_vit.layers import LayerScale
from tests.contract import check_layer, example, set_random_weights, to_numpy


def test_layer_scale_keeps_the_layer_contract():
    check_layer(partial(LayerScale, 0.1), (2, 5, 8), (2, 5, 8))


def test_layer_scale_multiplies_each_channel_by_its_factor():
    layer, x = LayerScale(), example((2, 5, 8))
    layer.build(x.shape)
    set_random_weights(layer)
    expected = x * to_numpy(layer.gamma)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-6)


def test_all_factors_start_at_the_given_value():
    layer = LayerScale(0.25)
    layer.build((None, 8))
    np.testing.assert_array_equal(to_numpy(layer.gamma), np.full(8, 0.25))


def test_a_scale_of_zero_leaves_nothing():
    assert not to_numpy(LayerScale(0.0)(example((2, 5, 8)))).any()
