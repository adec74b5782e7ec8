from __future__ import annotations

import numpy as np

from keras_vit.layers import ChannelBias
from tests.contract import check_layer, example, set_random_weights, to_numpy


def test_channel_bias_keeps_the_layer_contract():
    check_layer(ChannelBias, (2, 5, 8), (2, 5, 8))


def test_channel_bias_adds_one_number_per_channel():
    layer, x = ChannelBias(), example((2, 5, 8))
    layer.build(x.shape)
    set_random_weights(layer)
    expected = x + to_numpy(layer.bias)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-6)


def test_channel_bias_starts_at_zero():
    x = example((2, 5, 8))
    np.testing.assert_array_equal(to_numpy(ChannelBias()(x)), x)
