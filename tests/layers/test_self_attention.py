from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from keras_vit.layers import SelfAttention
from tests.contract import check_layer, example, set_random_weights, to_numpy


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
        (2, {"use_qkv_bias": False, "use_output_bias": False}),
        (8, {"dropout_rate": 0.1}),
        (1, {"attention_dropout_rate": 0.1}),
    ],
)
def test_self_attention_keeps_the_layer_contract(num_heads, options):
    check_layer(partial(SelfAttention, 8, num_heads, **options), (2, 5, 8), (2, 5, 8))


@pytest.mark.parametrize("fused", [True, False])
def test_self_attention_equals_the_formula(fused):
    layer, tokens = built(), example((2, 5, 8))
    layer.product._fused = fused
    np.testing.assert_allclose(
        to_numpy(layer(tokens)), reference(tokens, layer), atol=1e-5
    )


def test_attention_with_a_tiny_dropout_equals_the_fused_path():
    layer, tokens = built(attention_dropout_rate=1e-9), example((2, 5, 8))
    layer.product._fused = True
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
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        SelfAttention(8, 2).build((None, 5, 9))


def test_self_attention_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        SelfAttention(8, 2).build((None, 8))


def test_without_biases_only_the_matrices_are_left():
    layer = SelfAttention(8, 2, use_qkv_bias=False, use_output_bias=False)
    layer.build((None, 5, 8))
    assert [w.name for w in layer.weights] == ["kernel", "kernel"]
