from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from keras_vit.layers.activations import ACTIVATIONS, get_activation
from tests.contract import to_numpy

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
