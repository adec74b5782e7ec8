from __future__ import annotations

import numpy as np
import pytest

from keras_vit.layers import ClassToken
from tests.contract import check_layer, example, set_random_weights, to_numpy


def test_class_token_keeps_the_layer_contract():
    check_layer(ClassToken, (2, 4, 8), (2, 5, 8))


def test_class_token_comes_first_and_is_the_same_for_each_image():
    layer = ClassToken()
    layer.build((None, 4, 8))
    set_random_weights(layer)
    tokens = to_numpy(layer(example((3, 4, 8))))
    token = to_numpy(layer.token)[0, 0]
    np.testing.assert_array_equal(tokens[:, 0], np.stack([token] * 3))


def test_class_token_leaves_the_patches_as_they_are():
    layer = ClassToken()
    layer.build((None, 4, 8))
    set_random_weights(layer)
    patches = example((3, 4, 8))
    np.testing.assert_array_equal(to_numpy(layer(patches))[:, 1:], patches)


def test_class_token_starts_at_zero():
    layer = ClassToken()
    layer.build((None, 4, 8))
    assert not to_numpy(layer.token).any()


def test_class_token_knows_no_length_where_the_input_has_none():
    assert ClassToken().compute_output_shape((None, None, 8)) == (None, None, 8)


def test_class_token_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        ClassToken().build((None, 8))
