from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

from keras_vit.layers import MLP, LayerNormalization, RMSNormalization
from keras_vit.layers.mlp import ACTIVATIONS, get_activation
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "quick_gelu", "dropout_rate": 0.1},
        {"activation": "relu", "use_bias": False},
        {"norm": LayerNormalization(1e-5)},
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
    with pytest.raises(ValueError, match="Make it with hidden_dim=9"):
        MLP(8, 12).build((None, 5, 9))


@pytest.mark.parametrize("norm", [LayerNormalization(0.1), RMSNormalization(0.01)])
def test_the_norm_is_between_the_activation_and_the_second_layer(norm):
    layer = MLP(8, 12, norm=norm, use_bias=False, activation="relu")
    tokens = example((2, 5, 8))
    layer.build(tokens.shape)
    set_random_weights(layer, scale=0.5)
    x = np.maximum(tokens @ to_numpy(layer.expand.kernel), 0)
    gamma, *beta = layer.norm.get_weights()
    if isinstance(norm, LayerNormalization):
        x = x - x.mean(axis=-1, keepdims=True)
    root = np.sqrt((x**2).mean(axis=-1, keepdims=True) + norm.epsilon)
    expected = (x / root * gamma + sum(beta)) @ to_numpy(layer.contract.kernel)
    np.testing.assert_allclose(to_numpy(layer(tokens)), expected, atol=1e-4)


# Activations

X = np.linspace(-6, 6, 101, dtype="float32")


def apply(name: str) -> np.ndarray:
    return to_numpy(get_activation(name)(keras.ops.convert_to_tensor(X)))


def test_gelu_is_exact():
    expected = X * 0.5 * (1 + np.vectorize(math.erf)(X / math.sqrt(2)))
    np.testing.assert_allclose(apply("gelu"), expected, atol=1e-6)


def test_gelu_tanh_is_the_tanh_approximation():
    inner = math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)
    np.testing.assert_allclose(
        apply("gelu_tanh"), 0.5 * X * (1 + np.tanh(inner)), atol=1e-6
    )


def test_quick_gelu_is_the_sigmoid_approximation():
    np.testing.assert_allclose(
        apply("quick_gelu"), X / (1 + np.exp(-1.702 * X)), atol=1e-6
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_survive_serialization(name):
    function = ACTIVATIONS[name]
    serialized = keras.saving.serialize_keras_object(function)
    assert keras.saving.deserialize_keras_object(serialized) is function


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_half_precision(name):
    x = keras.ops.convert_to_tensor(X, "bfloat16")
    outputs = get_activation(name)(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"


def test_other_names_are_those_of_keras():
    assert get_activation("relu") is keras.activations.relu


@pytest.mark.parametrize("name", ["gulu", None])
def test_an_unknown_activation_is_rejected_with_a_list(name):
    with pytest.raises(ValueError, match="'gelu', 'gelu_tanh', 'quick_gelu'.*'relu'"):
        get_activation(name)
