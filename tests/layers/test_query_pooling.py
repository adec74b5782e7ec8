from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import QueryPooling
from tests.contract import check_layer, example, set_random_weights, to_numpy


def built(**options: Any) -> QueryPooling:
    layer = QueryPooling(8, 2, **options)
    layer.build((None, 5, 8))
    set_random_weights(layer, scale=0.5)
    return layer


def reference(layer: QueryPooling, tokens: np.ndarray) -> np.ndarray:
    """Compute the pooled tokens head by head."""
    x = tokens @ to_numpy(layer.key_value.kernel)
    if layer.use_key_value_bias:
        x = x + to_numpy(layer.key_value.bias)
    query = to_numpy(layer.query)[0, 0]
    key, value = np.split(x, 2, axis=-1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        powers = np.exp(key[..., part] @ query[part] / math.sqrt(4))
        weights = powers / powers.sum(axis=1, keepdims=True)
        heads.append((weights[..., None] * value[..., part]).sum(axis=1))
    x = np.concatenate(heads, axis=-1)
    output = layer.output_projection
    return x @ to_numpy(output.kernel) + to_numpy(output.bias)


@pytest.mark.parametrize("options", [{}, {"num_prefix_tokens": 2}])
@pytest.mark.parametrize("use_bias", [True, False])
def test_query_pooling_keeps_the_layer_contract(options, use_bias):
    make = partial(QueryPooling, 8, 2, use_key_value_bias=use_bias, **options)
    check_layer(make, (2, 5, 8), (2, 8))


@pytest.mark.parametrize("use_bias", [True, False])
def test_query_pooling_equals_the_formula(use_bias):
    layer, tokens = built(use_key_value_bias=use_bias), example((3, 5, 8))
    np.testing.assert_allclose(
        to_numpy(layer(tokens)), reference(layer, tokens), atol=1e-4
    )


def test_query_pooling_does_not_read_the_prefix():
    layer, tokens = built(num_prefix_tokens=2), example((3, 5, 8))
    same = built()
    same.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        to_numpy(layer(tokens)), to_numpy(same(tokens[:, 2:])), atol=1e-5
    )


def test_query_pooling_rejects_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        QueryPooling(8, 3)


def test_query_pooling_rejects_a_negative_prefix():
    with pytest.raises(ValueError, match="num_prefix_tokens=-1. Use 0 to read all"):
        QueryPooling(8, 2, num_prefix_tokens=-1)


def test_query_pooling_rejects_a_prefix_that_leaves_no_token():
    with pytest.raises(ValueError, match="Use a longer sequence or a smaller"):
        QueryPooling(8, 2, num_prefix_tokens=5).build((None, 5, 8))


def test_query_pooling_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        QueryPooling(8, 2).build((None, 5, 9))
