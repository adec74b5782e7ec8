from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import TokenMeanPooling
from tests.contract import check_layer, example, to_numpy


@pytest.mark.parametrize("num_prefix_tokens", [1, 3])
def test_token_mean_pooling_keeps_the_layer_contract(num_prefix_tokens):
    check_layer(partial(TokenMeanPooling, num_prefix_tokens), (2, 5, 8), (2, 16))


@pytest.mark.parametrize("prefix", [1, 3])
def test_the_first_token_stands_beside_the_mean_of_the_patches(prefix):
    tokens = example((2, 5, 8))
    mean = tokens[:, prefix:].mean(axis=1)
    np.testing.assert_allclose(
        to_numpy(TokenMeanPooling(prefix)(tokens)),
        np.concatenate([tokens[:, 0], mean], axis=-1),
        atol=1e-6,
    )


def test_token_mean_pooling_rejects_a_prefix_below_1():
    with pytest.raises(ValueError, match="num_prefix_tokens must be at least 1, rec"):
        TokenMeanPooling(0)


def test_token_mean_pooling_rejects_a_prefix_that_leaves_no_patch():
    with pytest.raises(ValueError, match="Use a longer sequence or a smaller"):
        TokenMeanPooling(5).build((None, 5, 8))


def test_token_mean_pooling_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        TokenMeanPooling().build((None, 8))
