from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from keras_vit.layers import AttentionProduct, SelfAttention
from keras_vit.layers.self_attention import xavier_of_square
from tests.contract import (
    check_layer,
    check_scores,
    example,
    examples,
    set_random_weights,
    to_numpy,
)


def reference(tokens: np.ndarray, layer: SelfAttention) -> np.ndarray:
    """Compute equations 5 to 8 of the paper head by head."""
    qkv, qkv_bias, output, output_bias = layer.get_weights()
    width = layer.hidden_dim // layer.num_heads
    query, key, value = np.split(tokens @ qkv + qkv_bias, 3, axis=-1)
    heads = []
    for i in range(layer.num_heads):
        part = slice(i * width, (i + 1) * width)
        scores = query[..., part] @ key[..., part].swapaxes(1, 2) / math.sqrt(width)
        powers = np.exp(scores)
        weights = powers / powers.sum(axis=-1, keepdims=True)
        heads.append(weights @ value[..., part])
    return np.concatenate(heads, axis=-1) @ output + output_bias


def built(**options: float) -> SelfAttention:
    layer = SelfAttention(8, 2, **options)
    layer.build((None, 5, 8))
    set_random_weights(layer, scale=0.5)
    return layer


@pytest.mark.parametrize(
    ("num_heads", "options"),
    [
        (2, {"qkv_bias": False, "use_output_bias": False}),
        (8, {"dropout_rate": 0.1}),
        (1, {"attention_dropout_rate": 0.1}),
    ],
)
def test_self_attention_keeps_the_layer_contract(num_heads, options):
    check_layer(partial(SelfAttention, 8, num_heads, **options), (2, 5, 8), (2, 5, 8))


@pytest.mark.parametrize("fused", [True, False])
def test_self_attention_equals_the_formula(fused):
    layer, tokens = built(), example((2, 5, 8))
    layer.product._has_kernel = fused
    np.testing.assert_allclose(
        to_numpy(layer(tokens)), reference(tokens, layer), atol=1e-5
    )


def test_attention_with_a_tiny_dropout_equals_the_fused_path():
    layer, tokens = built(attention_dropout_rate=1e-9), example((2, 5, 8))
    layer.product._has_kernel = True
    np.testing.assert_allclose(
        to_numpy(layer(tokens, training=True)),
        to_numpy(layer(tokens, training=False)),
        atol=1e-5,
    )


def test_attention_dropout_keeps_the_mean():
    layer = built(attention_dropout_rate=0.3)
    tokens = np.repeat(example((1, 5, 8)), 4000, axis=0)
    dropped = to_numpy(layer(tokens, training=True)).mean(axis=0)
    np.testing.assert_allclose(dropped, to_numpy(layer(tokens[:1]))[0], atol=0.06)


def test_attention_dropout_changes_the_output_in_training():
    layer, tokens = built(attention_dropout_rate=0.5), example((2, 5, 8))
    difference = to_numpy(layer(tokens, training=True)) - to_numpy(layer(tokens))
    assert abs(difference).max() > 1e-2


@pytest.mark.parametrize("option", ["dropout_rate", "attention_dropout_rate"])
def test_self_attention_drops_nothing_at_inference(option):
    layer, tokens = built(**{option: 0.5}), example((2, 5, 8))
    np.testing.assert_allclose(
        to_numpy(layer(tokens, training=False)), reference(tokens, layer), atol=1e-5
    )


def test_dropout_zeroes_its_share_of_the_output():
    layer, tokens = built(dropout_rate=0.5), example((100, 5, 8))
    share = (to_numpy(layer(tokens, training=True)) == 0).mean()
    np.testing.assert_allclose(share, 0.5, atol=0.05)


@pytest.mark.parametrize("matrix", ["query", "key", "value"])
def test_query_key_and_value_start_xavier_uniform_each(matrix):
    layer = SelfAttention(120, 2)
    layer.build((None, None, 120))
    start = 120 * ["query", "key", "value"].index(matrix)
    values = to_numpy(layer.qkv.kernel)[:, start : start + 120]
    limit = math.sqrt(3 / 120)
    np.testing.assert_allclose(abs(values).max(), limit, rtol=2e-3)
    np.testing.assert_allclose(values.std(), limit / math.sqrt(3), rtol=0.02)


def test_the_limit_is_that_of_one_square_matrix():
    values = to_numpy(xavier_of_square()((64, 3 * 64)))
    limit = np.sqrt(6 / (64 + 64))  # glorot uniform, arXiv:1502.01852
    # VarianceScaling sees fan_avg = (D + 3 D) / 2 of the fused matrix.
    assert 0.99 * limit < abs(values).max() <= limit


def test_the_output_projection_starts_xavier_uniform():
    layer = SelfAttention(120, 2)
    layer.build((None, None, 120))
    values = to_numpy(layer.output_projection.kernel)
    np.testing.assert_allclose(abs(values).max(), math.sqrt(3 / 120), rtol=2e-3)


def test_attention_biases_start_at_zero():
    layer = SelfAttention(8, 2)
    layer.build((None, None, 8))
    assert not to_numpy(layer.qkv.bias).any()
    assert not to_numpy(layer.output_projection.bias).any()


@pytest.mark.parametrize("num_heads", [3, 0])
def test_self_attention_rejects_heads_that_do_not_divide(num_heads):
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        SelfAttention(8, num_heads)


def test_self_attention_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make it with hidden_dim=9"):
        SelfAttention(8, 2).build((None, 5, 9))


def test_self_attention_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        SelfAttention(8, 2).build((None, 8))


def test_without_biases_only_the_matrices_are_left():
    layer = SelfAttention(8, 2, qkv_bias=False, use_output_bias=False)
    layer.build((None, 5, 8))
    assert [w.name for w in layer.weights] == ["kernel", "kernel"]


def test_self_attention_returns_its_weights():
    found = check_scores(partial(SelfAttention, 8, 2), (2, 5, 8), (2, 2, 5, 5))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)


def test_the_weights_are_those_of_the_formula():
    layer, tokens = built(), example((2, 5, 8))
    kernel, bias = layer.qkv.get_weights()
    query, key, _ = np.split((tokens @ kernel + bias).reshape(2, 5, 6, 4), 3, axis=2)
    _, weights = layer(tokens, return_attention_scores=True)
    np.testing.assert_allclose(
        to_numpy(weights), softmax_weights(query, key), atol=1e-5
    )


# The product of queries, keys and values

SHAPES = [(2, 5, 3, 4), (2, 5, 3, 4), (2, 5, 3, 4)]
WIDE = [(2, 5, 3, 4), (2, 5, 3, 4), (2, 5, 3, 8)]


def softmax_product(
    query: np.ndarray, key: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Compute softmax(q k^T / sqrt(d)) v with sums over named axes."""
    return np.einsum("bhqk,bkhd->bqhd", softmax_weights(query, key), value)


def softmax_weights(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Compute softmax(q k^T / sqrt(d)) with a sum over named axes."""
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    powers = np.exp(scores)
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("shapes", [SHAPES, WIDE])
def test_attention_product_keeps_the_layer_contract(shapes):
    check_layer(partial(AttentionProduct, 0.1), shapes, shapes[2])


@pytest.mark.parametrize("shapes", [SHAPES, WIDE])
@pytest.mark.parametrize("fused", [True, False])
def test_attention_product_equals_the_formula(shapes, fused):
    layer, inputs = AttentionProduct(), examples(shapes)
    layer.build(shapes[0])
    layer._has_kernel = fused
    np.testing.assert_allclose(
        to_numpy(layer(*inputs)), softmax_product(*inputs), atol=1e-5
    )


@pytest.mark.parametrize("fused", [True, False])
def test_one_query_can_read_from_many_keys(fused):
    layer, inputs = AttentionProduct(), examples([(2, 1, 3, 4), *SHAPES[1:]])
    layer.build((2, 1, 3, 4))
    layer._has_kernel = fused
    np.testing.assert_allclose(
        to_numpy(layer(*inputs)), softmax_product(*inputs), atol=1e-5
    )


def test_equal_keys_give_the_mean_of_the_values():
    query, value = example(SHAPES[0]), example(SHAPES[2], seed=2)
    found = to_numpy(AttentionProduct()(query, np.zeros_like(query), value))
    mean = value.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.repeat(mean, 5, axis=1), atol=1e-5)


def test_attention_product_drops_weights_in_training_only():
    layer, inputs = AttentionProduct(0.5), examples(SHAPES)
    expected = softmax_product(*inputs)
    dropped = to_numpy(layer(*inputs, training=True))
    assert abs(dropped - expected).max() > 1e-2
    np.testing.assert_allclose(
        to_numpy(layer(*inputs, training=False)), expected, atol=1e-5
    )


def test_attention_product_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="dropout_rate=1.0. It is the share"):
        AttentionProduct(1.0)


@pytest.mark.parametrize("shapes", [SHAPES, WIDE, [(2, 1, 3, 4), *SHAPES[1:]]])
def test_attention_product_returns_its_weights(shapes):
    batch, length, num_heads, _ = shapes[0]
    expected = softmax_weights(*examples(shapes)[:2])
    found = check_scores(AttentionProduct, shapes, (batch, num_heads, length, 5))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)


def test_the_weights_that_are_returned_are_those_before_dropout():
    layer, inputs = AttentionProduct(0.5), examples(SHAPES)
    _, weights = layer(*inputs, training=True, return_attention_scores=True)
    expected = softmax_weights(*inputs[:2])
    np.testing.assert_allclose(to_numpy(weights), expected, atol=1e-5)
