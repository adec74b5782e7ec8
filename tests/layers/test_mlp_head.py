from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import MLPHead
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"num_classes": 3}, 3),
        ({"num_classes": 3, "representation_size": 5, "activation": "softmax"}, 3),
        ({"num_classes": None, "representation_size": 5}, 5),
    ],
)
def test_mlp_head_keeps_the_layer_contract(options, width):
    check_layer(partial(MLPHead, **options), (2, 8), (2, width))


def test_a_new_head_gives_zero_logits():
    assert not to_numpy(MLPHead(3, representation_size=5)(example((2, 8)))).any()


def test_the_representation_goes_through_tanh():
    head = MLPHead(3, representation_size=5)
    token = example((2, 8))
    head.build(token.shape)
    set_random_weights(head)
    wide, wide_bias, kernel, bias = head.get_weights()
    expected = np.tanh(token @ wide + wide_bias) @ kernel + bias
    np.testing.assert_allclose(to_numpy(head(token)), expected, atol=1e-6)


def test_the_activation_is_that_of_the_classifier():
    head = MLPHead(3, activation="softmax")
    token = example((2, 8))
    head.build(token.shape)
    set_random_weights(head, scale=1.0)
    kernel, bias = head.get_weights()
    powers = np.exp(token @ kernel + bias)
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(to_numpy(head(token)), expected, atol=1e-5)


def test_the_representation_kernel_starts_lecun_normal():
    head = MLPHead(None, representation_size=100)
    head.build((None, 400))
    kernel = to_numpy(head.representation.kernel)
    np.testing.assert_allclose(kernel.std(), 400**-0.5, rtol=0.02)


def test_mlp_head_rejects_having_nothing_to_compute():
    with pytest.raises(ValueError, match="Pass one of them, or leave the head out"):
        MLPHead(None)


def test_mlp_head_rejects_inputs_that_are_not_of_rank_2():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 2"):
        MLPHead(3).build((None, 5, 8))


def test_the_classifier_can_be_without_a_bias():
    head = MLPHead(3, use_bias=False)
    head.build((None, 8))
    assert [w.name for w in head.weights] == ["kernel"]
