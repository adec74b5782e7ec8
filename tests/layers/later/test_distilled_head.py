from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import DistilledHead
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_distilled_head_keeps_the_layer_contract(activation):
    make = partial(DistilledHead, 3, activation=activation)
    check_layer(make, (2, 5, 8), (2, 3))


def test_distilled_head_averages_the_logits_of_two_tokens():
    head, tokens = DistilledHead(3), example((2, 5, 8))
    head.build(tokens.shape)
    set_random_weights(head)
    first, first_bias, second, second_bias = head.get_weights()
    expected = tokens[:, 0] @ first + first_bias + tokens[:, 1] @ second + second_bias
    np.testing.assert_allclose(to_numpy(head(tokens)), expected / 2, atol=1e-5)


def test_the_activation_acts_on_the_average():
    head, same = DistilledHead(3, activation="softmax"), DistilledHead(3)
    tokens = example((2, 5, 8))
    for layer in (head, same):
        layer.build(tokens.shape)
        set_random_weights(layer)
    powers = np.exp(to_numpy(same(tokens)))
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(to_numpy(head(tokens)), expected, atol=1e-5)


def test_distilled_head_starts_at_zero():
    assert not to_numpy(DistilledHead(3)(example((2, 5, 8)))).any()


def test_distilled_head_rejects_a_single_token():
    with pytest.raises(ValueError, match="reads two tokens.*Use MLPHead for one"):
        DistilledHead(3).build((None, 1, 8))


def test_distilled_head_rejects_an_unknown_activation():
    with pytest.raises(ValueError, match="activation must be one of"):
        DistilledHead(3, activation="gulu")


def test_distilled_head_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        DistilledHead(3).build((None, 8))
