from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import QueryPooling
from tests.contract import (
    check_layer,
    check_scores,
    example,
    set_random_weights,
    to_numpy,
)


def built(**options: Any) -> QueryPooling:
    layer = QueryPooling(8, 2, **options)
    layer.build((None, 5, 8))
    set_random_weights(layer, scale=0.5)
    return layer


def reference_scores(layer: QueryPooling, tokens: np.ndarray) -> np.ndarray:
    """Compute how much each head reads from each token, (B, h, 1, T)."""
    key = tokens @ to_numpy(layer.key_value.kernel)[:, :8]
    if layer.use_key_value_bias:
        key = key + to_numpy(layer.key_value.bias)[:8]
    query, heads = to_numpy(layer.query)[0, 0], []
    for part in (slice(0, 4), slice(4, 8)):
        powers = np.exp(key[..., part] @ query[part] / math.sqrt(4))
        heads.append(powers / powers.sum(axis=1, keepdims=True))
    return np.stack(heads, axis=1)[:, :, None]


def reference(layer: QueryPooling, tokens: np.ndarray) -> np.ndarray:
    """Compute the pooled tokens head by head."""
    x = tokens @ to_numpy(layer.key_value.kernel)
    if layer.use_key_value_bias:
        x = x + to_numpy(layer.key_value.bias)
    weights = reference_scores(layer, tokens)[:, :, 0, :, None]
    heads = [
        (weights[:, i] * x[..., part]).sum(axis=1)
        for i, part in enumerate((slice(8, 12), slice(12, 16)))
    ]
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
    with pytest.raises(ValueError, match="num_prefix_tokens must be at least 0"):
        QueryPooling(8, 2, num_prefix_tokens=-1)


def test_query_pooling_rejects_a_prefix_that_leaves_no_token():
    with pytest.raises(ValueError, match="Use a longer sequence or a smaller"):
        QueryPooling(8, 2, num_prefix_tokens=5).build((None, 5, 8))


def test_query_pooling_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make it with hidden_dim=9"):
        QueryPooling(8, 2).build((None, 5, 9))


@pytest.mark.parametrize("prefix", [0, 2])
def test_query_pooling_returns_its_weights(prefix):
    make = partial(QueryPooling, 8, 2, num_prefix_tokens=prefix)
    found = check_scores(make, (3, 5, 8), (3, 2, 1, 5 - prefix))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    layer, tokens = built(num_prefix_tokens=prefix), example((3, 5, 8))
    _, scores = layer(tokens, return_attention_scores=True)
    expected = reference_scores(layer, tokens[:, prefix:])
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-5)
