from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import DifferentialProduct, SelfAttention
from tests.contract import (
    check_layer,
    check_scores,
    example,
    examples,
    set_random_weights,
    to_numpy,
)

SHAPES = [(2, 5, 3, 4)] * 3
TOKENS = example((2, 5, 12))


def built(depth: int = 2, dropout_rate: float = 0.0) -> DifferentialProduct:
    layer = DifferentialProduct(depth, dropout_rate)
    layer.build(SHAPES[0])
    set_random_weights(layer, scale=0.5)
    return layer


def difference(
    layer: DifferentialProduct, query: np.ndarray, key: np.ndarray
) -> np.ndarray:
    """Compute A_1 - lambda A_2 head by head, (B, h, T, T)."""
    query_1, key_1, query_2, key_2, _ = layer.get_weights()
    start = 0.8 - 0.6 * math.exp(-0.3 * layer.depth)
    factor = np.exp(query_1 @ key_1) - np.exp(query_2 @ key_2) + start
    heads = []
    for i in range(3):
        shares = []
        for part in (slice(0, 2), slice(2, 4)):
            scores = query[:, :, i, part] @ key[:, :, i, part].swapaxes(1, 2)
            powers = np.exp(scores / math.sqrt(2))
            shares.append(powers / powers.sum(axis=-1, keepdims=True))
        heads.append(shares[0] - factor * shares[1])
    return np.stack(heads, axis=1)


def reference(
    layer: DifferentialProduct, query: np.ndarray, key: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Compute equations 1 to 3 head by head."""
    gamma = to_numpy(layer.norm.gamma)
    start = 0.8 - 0.6 * math.exp(-0.3 * layer.depth)
    x = np.einsum("bhqk,bkhd->bqhd", difference(layer, query, key), value)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * gamma
    return x * (1 - start)


def test_differential_product_keeps_the_layer_contract():
    check_layer(partial(DifferentialProduct, 1, 0.1), SHAPES, SHAPES[2])
    check_layer(partial(DifferentialProduct, 1, 0.0, True), SHAPES, SHAPES[2])


@pytest.mark.parametrize("depth", [0, 5])
@pytest.mark.parametrize("fused", [True, False])
def test_differential_product_equals_the_formula(depth, fused):
    # The fused form of JAX takes no values of another width.
    layer, inputs = built(depth), examples(SHAPES)
    layer.product._has_kernel = fused
    np.testing.assert_allclose(
        to_numpy(layer(*inputs)), reference(layer, *inputs), atol=1e-4
    )


def test_lambda_starts_at_a_value_that_grows_with_depth():
    assert built(0)._lambda_start == pytest.approx(0.2)
    assert built(100)._lambda_start == pytest.approx(0.8)


def test_differential_product_drops_weights_in_training_only():
    layer, inputs = built(dropout_rate=0.5), examples(SHAPES)
    expected = reference(layer, *inputs)
    assert abs(to_numpy(layer(*inputs, training=True)) - expected).max() > 1e-2
    np.testing.assert_allclose(
        to_numpy(layer(*inputs, training=False)), expected, atol=1e-4
    )


def test_differential_product_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="dropout_rate=1.5. It is the share"):
        DifferentialProduct(0, 1.5)


def test_differential_product_rejects_heads_of_an_odd_width():
    with pytest.raises(ValueError, match="even width.*Choose a num_heads that divides"):
        DifferentialProduct().build((2, 5, 4, 3))


def test_squares_for_float16_reach_the_norm():
    assert DifferentialProduct(0, 0.0, True).norm.use_float16_squares
    layer, inputs = built(), examples(SHAPES)
    safe = DifferentialProduct(2, use_float16_squares=True)
    safe.build(SHAPES[0])
    safe.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        to_numpy(safe(*inputs)), to_numpy(layer(*inputs)), atol=1e-5
    )


def test_differential_product_returns_the_difference_of_its_weights():
    check_scores(partial(DifferentialProduct, 2), SHAPES, (2, 3, 5, 5))
    layer, (query, key, value) = built(), examples(SHAPES)
    _, scores = layer(query, key, value, return_attention_scores=True)
    expected = difference(layer, query, key)
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-5)
    # A row of each of the two attentions sums to 1: of the difference, to 1 - lambda.
    query_1, key_1, query_2, key_2, _ = layer.get_weights()
    factor = np.exp(query_1 @ key_1) - np.exp(query_2 @ key_2) + layer._lambda_start
    np.testing.assert_allclose(to_numpy(scores).sum(axis=-1), 1 - factor, atol=1e-5)


# In an attention


def make_attention(
    depth: int = 2, attention_dropout_rate: float = 0.0, **options: Any
) -> SelfAttention:
    product = DifferentialProduct(
        depth, attention_dropout_rate, dtype=options.get("dtype"), name="product"
    )
    return SelfAttention(12, 3, product=product, **options)


def built_attention(**options: Any) -> SelfAttention:
    layer = make_attention(**options)
    layer.build(TOKENS.shape)
    set_random_weights(layer, scale=0.4)
    return layer


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 3},
        {"qkv_bias": False, "use_output_bias": False},
        {"dropout_rate": 0.1, "attention_dropout_rate": 0.1},
    ],
)
def test_differential_attention_keeps_the_layer_contract(options):
    check_layer(partial(make_attention, **options), (2, 5, 12), (2, 5, 12))


def split_heads(layer: SelfAttention) -> list[np.ndarray]:
    """Return queries, keys and values of the tokens, (B, T, h, d) each."""
    kernel, bias = layer.qkv.get_weights()
    parts = np.split(TOKENS @ kernel + bias, 3, axis=-1)
    return [part.reshape(2, 5, 3, 4) for part in parts]


def test_differential_attention_equals_the_formula():
    layer = built_attention()
    context = reference(layer.product, *split_heads(layer))
    kernel, bias = layer.output_projection.get_weights()
    expected = context.reshape(2, 5, 12) @ kernel + bias
    np.testing.assert_allclose(to_numpy(layer(TOKENS)), expected, atol=1e-4)


def test_differential_attention_returns_the_difference_of_its_weights():
    check_scores(make_attention, (2, 5, 12), (2, 3, 5, 5))
    layer = built_attention()
    query, key, _ = split_heads(layer)
    _, scores = layer(TOKENS, return_attention_scores=True)
    expected = difference(layer.product, query, key)
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-5)


def test_permuting_the_tokens_permutes_the_output(rng):
    layer, order = built_attention(), rng.permutation(5)
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS[:, order])), to_numpy(layer(TOKENS))[:, order], atol=1e-4
    )


@pytest.mark.parametrize("option", ["dropout_rate", "attention_dropout_rate"])
def test_differential_attention_drops_in_training_only(option):
    layer, same = built_attention(**{option: 0.5}), built_attention()
    same.set_weights(layer.get_weights())
    expected = to_numpy(same(TOKENS))
    assert abs(to_numpy(layer(TOKENS, training=True)) - expected).max() > 1e-2
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS, training=False)), expected, atol=1e-5
    )


def test_differential_attention_rejects_heads_that_do_not_divide():
    attention = SelfAttention(12, 4, product=DifferentialProduct())
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        attention.build((None, 5, 12))
