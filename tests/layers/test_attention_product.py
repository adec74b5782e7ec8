from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from keras_vit.layers import AttentionProduct
from tests.contract import check_layer, example, examples, to_numpy

SHAPES = [(2, 5, 3, 4), (2, 5, 3, 4), (2, 5, 3, 4)]
WIDE = [(2, 5, 3, 4), (2, 5, 3, 4), (2, 5, 3, 8)]


def reference(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Compute softmax(q k^T / sqrt(d)) v with sums over named axes."""
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    powers = np.exp(scores)
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, value)


@pytest.mark.parametrize("shapes", [SHAPES, WIDE])
def test_attention_product_keeps_the_layer_contract(shapes):
    check_layer(partial(AttentionProduct, 0.1), shapes, shapes[2])


@pytest.mark.parametrize("shapes", [SHAPES, WIDE])
@pytest.mark.parametrize("fused", [True, False])
def test_attention_product_equals_the_formula(shapes, fused):
    layer, inputs = AttentionProduct(), examples(shapes)
    layer.build(shapes[0])
    layer._fused = fused
    np.testing.assert_allclose(to_numpy(layer(*inputs)), reference(*inputs), atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_one_query_can_read_from_many_keys(fused):
    layer, inputs = AttentionProduct(), examples([(2, 1, 3, 4), *SHAPES[1:]])
    layer.build((2, 1, 3, 4))
    layer._fused = fused
    np.testing.assert_allclose(to_numpy(layer(*inputs)), reference(*inputs), atol=1e-5)


def test_equal_keys_give_the_mean_of_the_values():
    query, value = example(SHAPES[0]), example(SHAPES[2], seed=2)
    found = to_numpy(AttentionProduct()(query, np.zeros_like(query), value))
    mean = value.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.repeat(mean, 5, axis=1), atol=1e-5)


def test_attention_product_drops_weights_in_training_only():
    layer, inputs = AttentionProduct(0.5), examples(SHAPES)
    expected = reference(*inputs)
    dropped = to_numpy(layer(*inputs, training=True))
    assert abs(dropped - expected).max() > 1e-2
    np.testing.assert_allclose(
        to_numpy(layer(*inputs, training=False)), expected, atol=1e-5
    )


def test_attention_product_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="dropout_rate=1.0. It is the share"):
        AttentionProduct(1.0)
