from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import MLP
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "quick_gelu", "dropout_rate": 0.1},
        {"activation": "relu", "use_bias": False},
        {"normalization": "layer", "epsilon": 1e-5},
    ],
)
def test_mlp_keeps_the_layer_contract(options):
    check_layer(partial(MLP, 8, 12, **options), (2, 5, 8), (2, 5, 8))


def test_mlp_equals_the_formula():
    layer = MLP(8, 12)
    tokens = example((2, 5, 8))
    layer.build(tokens.shape)
    set_random_weights(layer, scale=0.5)
    expand, expand_bias, contract, contract_bias = layer.get_weights()
    wide = tokens @ expand + expand_bias
    wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
    expected = wide @ contract + contract_bias
    np.testing.assert_allclose(to_numpy(layer(tokens)), expected, atol=1e-5)


def test_mlp_kernels_start_xavier_uniform():
    layer = MLP(100, 200)
    layer.build((None, None, 100))
    limit = math.sqrt(6 / (100 + 200))
    for kernel in (layer.expand.kernel, layer.contract.kernel):
        values = to_numpy(kernel)
        np.testing.assert_allclose(abs(values).max(), limit, rtol=1e-3)
        np.testing.assert_allclose(values.std(), limit / math.sqrt(3), rtol=0.02)


def test_mlp_biases_start_with_standard_deviation_1e_6():
    layer = MLP(2000, 2000)
    layer.build((None, None, 2000))
    for bias in (layer.expand.bias, layer.contract.bias):
        np.testing.assert_allclose(to_numpy(bias).std(), 1e-6, rtol=0.1)


@pytest.mark.parametrize(
    ("sublayer", "width"), [("expand_dropout", 12), ("contract_dropout", 8)]
)
def test_mlp_drops_after_each_of_its_two_layers(sublayer, width, monkeypatch):
    layer = MLP(8, 12, dropout_rate=0.5)
    layer.build((None, 5, 8))
    calls = []

    def call(x: Any, training: bool) -> Any:
        calls.append((x.shape[-1], training))
        return x

    monkeypatch.setattr(getattr(layer, sublayer), "call", call)
    layer(example((2, 5, 8)), training=True)
    assert calls == [(width, True)]


def test_mlp_drops_nothing_at_inference():
    layer, same = MLP(8, 12, dropout_rate=0.5), MLP(8, 12)
    tokens = example((2, 5, 8))
    layer.build(tokens.shape)
    same.build(tokens.shape)
    same.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        to_numpy(layer(tokens, training=False)), to_numpy(same(tokens))
    )


def test_mlp_rejects_an_unknown_activation_and_lists_the_valid_ones():
    with pytest.raises(ValueError, match="'gelu', 'gelu_tanh', 'quick_gelu'"):
        MLP(8, 12, activation="gulu")


def test_mlp_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="rate"):
        MLP(8, 12, dropout_rate=1.5)


def test_mlp_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        MLP(8, 12).build((None, 5, 9))


@pytest.mark.parametrize("normalization", ["layer", "rms"])
def test_the_norm_is_between_the_activation_and_the_second_layer(normalization):
    layer = MLP(8, 12, normalization=normalization, use_bias=False, activation="relu")
    tokens = example((2, 5, 8))
    layer.build(tokens.shape)
    set_random_weights(layer, scale=0.5)
    x = np.maximum(tokens @ to_numpy(layer.expand.kernel), 0)
    gamma, *beta = layer.norm.get_weights()
    if normalization == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * gamma + sum(beta)
    expected = x @ to_numpy(layer.contract.kernel)
    np.testing.assert_allclose(to_numpy(layer(tokens)), expected, atol=1e-4)


def test_mlp_rejects_an_unknown_normalization():
    with pytest.raises(ValueError, match=r"\['layer', 'rms'\], received 'batch'"):
        MLP(8, 12, normalization="batch")
