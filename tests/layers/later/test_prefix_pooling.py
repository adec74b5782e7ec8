from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import PrefixPooling
from tests.contract import check_layer, example, to_numpy


@pytest.mark.parametrize("num_tokens", [1, 5])
def test_prefix_pooling_keeps_the_layer_contract(num_tokens):
    check_layer(partial(PrefixPooling, num_tokens), (2, 5, 8), (2, 8))


def test_prefix_pooling_averages_the_first_tokens():
    tokens = example((2, 5, 8))
    expected = (tokens[:, 0] + tokens[:, 1]) / 2
    np.testing.assert_allclose(to_numpy(PrefixPooling(2)(tokens)), expected, atol=1e-6)


def test_prefix_pooling_rejects_a_count_below_1():
    with pytest.raises(
        ValueError, match="num_tokens must be at least 1, received num_t"
    ):
        PrefixPooling(0)


def test_prefix_pooling_rejects_a_shorter_sequence():
    with pytest.raises(ValueError, match="num_tokens=6 .*Use a longer sequence"):
        PrefixPooling(6).build((None, 5, 8))


def test_prefix_pooling_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        PrefixPooling(1).build((None, 8))
