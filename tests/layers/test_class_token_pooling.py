from __future__ import annotations

import numpy as np
import pytest

from keras_vit.layers import ClassTokenPooling
from tests.contract import check_layer, example, to_numpy


def test_class_token_pooling_keeps_the_layer_contract():
    check_layer(ClassTokenPooling, (2, 5, 8), (2, 8))


def test_class_token_pooling_returns_the_first_token():
    tokens = example((3, 5, 8))
    np.testing.assert_array_equal(to_numpy(ClassTokenPooling()(tokens)), tokens[:, 0])


def test_class_token_pooling_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        ClassTokenPooling().build((None, 8))
