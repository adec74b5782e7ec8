from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import TransformerBlock
from tests.contract import check_layer, example, set_random_weights, to_numpy


def built(**options: float) -> TransformerBlock:
    block = TransformerBlock(8, 2, 12, **options)
    block.build((None, 5, 8))
    set_random_weights(block, scale=0.3)
    return block


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, "activation": "relu"},
        {"stochastic_depth_rate": 0.2, "epsilon": 1e-5, "activation": "gelu_tanh"},
    ],
)
def test_transformer_block_keeps_the_layer_contract(options):
    check_layer(partial(TransformerBlock, 8, 2, 12, **options), (2, 5, 8), (2, 5, 8))


def test_transformer_block_computes_equations_2_and_3():
    block, tokens = built(), example((2, 5, 8))
    middle = tokens + to_numpy(block.attention(block.attention_norm(tokens)))
    expected = middle + to_numpy(block.mlp(block.mlp_norm(middle)))
    np.testing.assert_allclose(to_numpy(block(tokens)), expected, atol=1e-5)


def test_permuting_the_tokens_permutes_the_output(rng):
    block, tokens, order = built(), example((2, 5, 8)), rng.permutation(5)
    np.testing.assert_allclose(
        to_numpy(block(tokens[:, order])), to_numpy(block(tokens))[:, order], atol=1e-5
    )


def test_one_image_does_not_depend_on_the_others():
    block, tokens = built(), example((3, 5, 8))
    np.testing.assert_allclose(
        to_numpy(block(tokens[1:2])), to_numpy(block(tokens))[1:2], atol=1e-5
    )


def test_epsilon_reaches_both_normalizations():
    block = TransformerBlock(8, 2, 12, epsilon=0.5)
    assert (block.attention_norm.epsilon, block.mlp_norm.epsilon) == (0.5, 0.5)


def test_transformer_block_drops_nothing_at_inference():
    options = dict.fromkeys(
        ("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"), 0.5
    )
    block, same, tokens = built(**options), built(), example((2, 5, 8))
    np.testing.assert_allclose(
        to_numpy(block(tokens, training=False)), to_numpy(same(tokens)), atol=1e-6
    )


def test_an_image_that_skips_both_branches_keeps_its_tokens():
    block, tokens = built(stochastic_depth_rate=0.9), example((64, 5, 8))
    outputs = to_numpy(block(tokens, training=True))
    unchanged = (outputs == tokens).all(axis=(1, 2))
    assert 0.6 < unchanged.mean() < 0.95


def test_transformer_block_rejects_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        TransformerBlock(8, 3, 12)


def test_transformer_block_rejects_an_unknown_activation():
    with pytest.raises(ValueError, match="activation must be one of"):
        TransformerBlock(8, 2, 12, activation="gulu")


def test_transformer_block_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        TransformerBlock(8, 2, 12).build((None, 5, 9))
