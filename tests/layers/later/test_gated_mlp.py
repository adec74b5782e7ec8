from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import GatedMLP, LayerNormalization, RMSNormalization
from tests.contract import check_layer, example, set_random_weights, to_numpy

TOKENS = example((2, 5, 8))


def built(**options: Any) -> GatedMLP:
    layer = GatedMLP(8, 12, **options)
    layer.build(TOKENS.shape)
    set_random_weights(layer, scale=0.5)
    return layer


def gated(layer: GatedMLP) -> np.ndarray:
    """Compute silu(g) * u, the gate first."""
    kernel, *bias = layer.expand.get_weights()
    gate, x = np.split(TOKENS @ kernel + sum(bias), 2, axis=-1)
    return gate / (1 + np.exp(-gate)) * x


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "gelu", "dropout_rate": 0.1, "use_bias": False},
        {"norm": LayerNormalization(1e-5)},
        {"norm": RMSNormalization()},
    ],
)
def test_gated_mlp_keeps_the_layer_contract(options):
    check_layer(partial(GatedMLP, 8, 12, **options), (2, 5, 8), (2, 5, 8))


@pytest.mark.parametrize("use_bias", [True, False])
def test_gated_mlp_equals_the_formula(use_bias):
    layer = built(use_bias=use_bias)
    kernel, *bias = layer.contract.get_weights()
    expected = gated(layer) @ kernel + sum(bias)
    np.testing.assert_allclose(to_numpy(layer(TOKENS)), expected, atol=1e-5)


def test_the_norm_is_between_the_gate_and_the_second_layer():
    layer = built(norm=LayerNormalization(0.1))
    x = gated(layer)
    x = x - x.mean(axis=-1, keepdims=True)
    gamma, beta = layer.norm.get_weights()
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 0.1) * gamma + beta
    kernel, bias = layer.contract.get_weights()
    np.testing.assert_allclose(to_numpy(layer(TOKENS)), x @ kernel + bias, atol=1e-4)


def test_a_closed_gate_lets_nothing_through():
    layer = built(use_bias=False, activation="relu")
    kernel = to_numpy(layer.expand.kernel).copy()
    kernel[:, :12] = 0
    layer.expand.kernel.assign(kernel)
    assert not to_numpy(layer(TOKENS)).any()


def test_gated_mlp_drops_in_training_only():
    layer, same = built(dropout_rate=0.5), built()
    same.set_weights(layer.get_weights())
    assert (to_numpy(layer(TOKENS, training=True)) == 0).any()
    np.testing.assert_array_equal(
        to_numpy(layer(TOKENS, training=False)), to_numpy(same(TOKENS))
    )


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"activation": "gulu"}, "'gelu', 'gelu_tanh', 'quick_gelu'"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0. It is the share"),
    ],
)
def test_gated_mlp_rejects_with_advice(options, advice):
    with pytest.raises(ValueError, match=advice):
        GatedMLP(8, 12, **options)


def test_gated_mlp_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make it with hidden_dim=9"):
        GatedMLP(8, 12).build((None, 5, 9))
