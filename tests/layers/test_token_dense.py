from __future__ import annotations

import keras
import numpy as np

from keras_vit.layers.token_dense import token_dense
from tests.contract import example, set_random_weights, to_numpy


def test_token_dense_equals_a_dense_layer():
    layer, dense, tokens = token_dense(6), keras.layers.Dense(6), example((2, 5, 8))
    layer.build(tokens.shape)
    dense.build(tokens.shape)
    set_random_weights(layer)
    dense.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        to_numpy(layer(tokens)), to_numpy(dense(tokens)), atol=1e-5
    )


def test_token_dense_takes_sequences_of_any_length():
    layer = token_dense(6)
    lengths = [layer(example((2, length, 8))).shape[1] for length in (5, 7)]
    assert lengths == [5, 7]
