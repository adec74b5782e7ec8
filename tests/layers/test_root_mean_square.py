from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_vit.layers.layer_normalization import LayerNormalization
from keras_vit.layers.rms_normalization import RMSNormalization
from keras_vit.layers.root_mean_square import (
    divide_by_root_mean_square,
    half_precision_squares,
)


@pytest.mark.parametrize("make", [LayerNormalization, RMSNormalization])
def test_norms_for_float16_give_the_same_numbers(make, rng):
    layer = make()
    x = rng.normal(size=(2, 5, 32)).astype("float32") * 10
    expected = keras.ops.convert_to_numpy(layer(x))
    with half_precision_squares():
        found = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_norms_for_float16_hold_larger_values():
    x = keras.ops.convert_to_tensor([1000.0, 1.0, -1.0, 2.0], "float16")
    plain = keras.ops.convert_to_numpy(divide_by_root_mean_square(x, 1e-6))
    with half_precision_squares():
        safe = keras.ops.convert_to_numpy(divide_by_root_mean_square(x, 1e-6))
    assert plain[0] == 0  # its square is infinite
    np.testing.assert_allclose(safe[0], 2.0, rtol=2e-3)
