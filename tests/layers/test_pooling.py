from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import ClassTokenPooling, MeanPooling
from tests.contract import check_layer, example, to_numpy


def test_class_token_pooling_keeps_the_layer_contract():
    check_layer(ClassTokenPooling, (2, 5, 8), (2, 8))


def test_class_token_pooling_returns_the_first_token():
    tokens = example((3, 5, 8))
    np.testing.assert_array_equal(to_numpy(ClassTokenPooling()(tokens)), tokens[:, 0])


def test_class_token_pooling_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        ClassTokenPooling().build((None, 8))


@pytest.mark.parametrize("num_prefix_tokens", [0, 1])
def test_mean_pooling_keeps_the_layer_contract(num_prefix_tokens):
    check_layer(partial(MeanPooling, num_prefix_tokens), (2, 5, 8), (2, 8))


def test_mean_pooling_averages_all_tokens():
    tokens = example((3, 5, 8))
    np.testing.assert_allclose(
        to_numpy(MeanPooling()(tokens)), tokens.mean(axis=1), atol=1e-6
    )


def test_mean_pooling_does_not_read_the_prefix():
    tokens = example((3, 5, 8))
    changed = tokens.copy()
    changed[:, :2] = 100.0
    np.testing.assert_array_equal(
        to_numpy(MeanPooling(2)(changed)), to_numpy(MeanPooling(2)(tokens))
    )


def test_mean_pooling_with_a_prefix_averages_the_rest():
    tokens = example((3, 5, 8))
    np.testing.assert_allclose(
        to_numpy(MeanPooling(1)(tokens)), tokens[:, 1:].mean(axis=1), atol=1e-6
    )


def test_mean_pooling_rejects_a_negative_prefix():
    with pytest.raises(ValueError, match="num_prefix_tokens must be at least 0"):
        MeanPooling(-1)


def test_mean_pooling_rejects_a_prefix_that_leaves_no_token():
    with pytest.raises(ValueError, match="longer sequence or a smaller"):
        MeanPooling(5).build((None, 5, 8))


def test_mean_pooling_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        MeanPooling().build((None, 8))
