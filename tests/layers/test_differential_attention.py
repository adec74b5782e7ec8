from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import DifferentialAttention
from tests.contract import check_layer, example, set_random_weights, to_numpy
from tests.layers.test_differential_product import reference

TOKENS = example((2, 5, 12))


def built(**options: Any) -> DifferentialAttention:
    layer = DifferentialAttention(12, 3, **options)
    layer.build(TOKENS.shape)
    set_random_weights(layer, scale=0.4)
    return layer


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 3},
        {"use_qkv_bias": False, "use_output_bias": False},
        {"dropout_rate": 0.1, "attention_dropout_rate": 0.1},
    ],
)
def test_differential_attention_keeps_the_layer_contract(options):
    make = partial(DifferentialAttention, 12, 3, **options)
    check_layer(make, (2, 5, 12), (2, 5, 12))


def test_differential_attention_equals_the_formula():
    layer = built(depth=2)
    kernel, bias = layer.qkv.get_weights()
    query, key, value = np.split(TOKENS @ kernel + bias, 3, axis=-1)
    query, key = query.reshape(2, 5, 6, 2), key.reshape(2, 5, 6, 2)
    context = reference(layer.product, query, key, value.reshape(2, 5, 3, 4))
    kernel, bias = layer.output_projection.get_weights()
    expected = context.reshape(2, 5, 12) @ kernel + bias
    np.testing.assert_allclose(to_numpy(layer(TOKENS)), expected, atol=1e-4)


def test_permuting_the_tokens_permutes_the_output(rng):
    layer, order = built(), rng.permutation(5)
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS[:, order])), to_numpy(layer(TOKENS))[:, order], atol=1e-4
    )


@pytest.mark.parametrize("option", ["dropout_rate", "attention_dropout_rate"])
def test_differential_attention_drops_in_training_only(option):
    layer, same = built(**{option: 0.5}), built()
    same.set_weights(layer.get_weights())
    expected = to_numpy(same(TOKENS))
    assert abs(to_numpy(layer(TOKENS, training=True)) - expected).max() > 1e-2
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS, training=False)), expected, atol=1e-5
    )


@pytest.mark.parametrize("num_heads", [4, 0])
def test_differential_attention_rejects_heads_that_do_not_divide(num_heads):
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        DifferentialAttention(12, num_heads)


@pytest.mark.parametrize("option", ["dropout_rate", "attention_dropout_rate"])
def test_differential_attention_rejects_a_rate_out_of_range(option):
    with pytest.raises(ValueError, match="dropout_rate=1.5. It is the share"):
        DifferentialAttention(12, 3, **{option: 1.5})


def test_differential_attention_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        DifferentialAttention(12, 3).build((None, 5, 9))
