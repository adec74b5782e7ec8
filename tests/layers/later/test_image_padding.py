from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_vit.layers import ImagePadding
from tests.contract import check_layer, example, to_numpy


@pytest.mark.parametrize("size, padded", [((5, 7), (8, 9)), ((4, 6), (4, 6))])
def test_contract(size, padded):
    def make(**kwargs):
        return ImagePadding((4, 3), **kwargs)

    check_layer(make, (2, *size, 3), (2, *padded, 3))


def test_zeros_are_added_at_the_bottom_and_right():
    images = example((2, 5, 7, 3))
    padded = to_numpy(ImagePadding((4, 4))(images))
    np.testing.assert_array_equal(padded[:, :5, :7], images)
    assert not padded[:, 5:].any() and not padded[:, :, 7:].any()


def test_any_size_is_padded_in_a_model():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, ImagePadding((4, 4))(inputs))
    for size, padded in (((5, 7), (8, 8)), ((8, 4), (8, 4))):
        assert model.predict(example((1, *size, 3)), verbose=0).shape[1:3] == padded
