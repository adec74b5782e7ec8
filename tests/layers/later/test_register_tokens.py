from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import RegisterTokens
from tests.contract import check_layer, example, to_numpy


def test_register_tokens_keep_the_layer_contract():
    check_layer(partial(RegisterTokens, 3), (2, 4, 8), (2, 7, 8))


def test_registers_come_first_and_are_the_same_for_each_image():
    layer, patches = RegisterTokens(3), example((2, 4, 8))
    found = to_numpy(layer(patches))
    registers = np.repeat(to_numpy(layer.tokens), 2, axis=0)
    expected = np.concatenate([registers, patches], axis=1)
    np.testing.assert_array_equal(found, expected)


def test_registers_start_small_and_different():
    layer = RegisterTokens(4)
    layer.build((None, 4, 500))
    values = to_numpy(layer.tokens)
    np.testing.assert_allclose(values.std(), 0.02 * 0.88, rtol=0.1)  # truncated
    assert abs(values[0, 0] - values[0, 1]).max() > 1e-3


def test_the_length_is_unknown_where_that_of_the_input_is():
    assert RegisterTokens(3).compute_output_shape((None, None, 8)) == (None, None, 8)


def test_register_tokens_reject_a_count_below_1():
    with pytest.raises(
        ValueError, match="num_tokens must be at least 1, received num_t"
    ):
        RegisterTokens(0)


def test_register_tokens_reject_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        RegisterTokens(2).build((None, 8))
