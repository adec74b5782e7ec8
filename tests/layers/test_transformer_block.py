from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import ExtendedSelfAttention, GatedMLP, TransformerBlock
from keras_vit.layers.rotation import rotation_table
from tests.contract import check_layer, example, set_random_weights, to_numpy

ROTARY = ExtendedSelfAttention(8, 2, rotary_layout="half")


def built(**options: Any) -> TransformerBlock:
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
        {"layer_scale": 0.1, "normalization": "rms"},
        {"layer_scale": 0.1, "use_mlp_layer_scale": False, "attention": ROTARY},
        {"mlp": GatedMLP(8, 12, normalization="layer")},
    ],
    ids=str,
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


def test_transformer_block_rejects_an_attention_that_is_no_layer():
    with pytest.raises(TypeError, match=r"received 'rotary' \(str\). Pass a layer"):
        TransformerBlock(8, 2, 12, attention="rotary")


def test_transformer_block_with_a_rotation_keeps_the_layer_contract():
    make = partial(TransformerBlock, 8, 2, 12, attention=ROTARY)
    check_layer(make, [(3, 5, 8), (2, 5, 1, 4)], (3, 5, 8))


def test_layer_scale_multiplies_both_branches():
    block, tokens = built(layer_scale=0.5), example((2, 5, 8))
    x = block.attention(block.attention_norm(tokens))
    middle = tokens + to_numpy(x) * to_numpy(block.attention_scale.gamma)
    x = block.mlp(block.mlp_norm(middle))
    expected = middle + to_numpy(x) * to_numpy(block.mlp_scale.gamma)
    np.testing.assert_allclose(to_numpy(block(tokens)), expected, atol=1e-5)


def test_a_scale_of_zero_makes_the_block_the_identity():
    tokens = example((2, 5, 8))
    block = TransformerBlock(8, 2, 12, layer_scale=0.0)
    np.testing.assert_array_equal(to_numpy(block(tokens)), tokens)


def test_layer_scale_can_be_on_the_attention_only():
    block = built(layer_scale=0.5, use_mlp_layer_scale=False)
    assert block.attention_scale is not None and block.mlp_scale is None


def test_a_rotation_reaches_the_attention():
    block, tokens = built(attention=ROTARY), example((2, 5, 8))
    rotation = rotation_table(example((5, 1, 2)), "half")
    x = block.attention(block.attention_norm(tokens), rotation=rotation)
    middle = tokens + to_numpy(x)
    expected = middle + to_numpy(block.mlp(block.mlp_norm(middle)))
    found = to_numpy(block(tokens, rotation=rotation))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - to_numpy(block(tokens))).max() > 1e-3


def test_extended_self_attention_with_defaults_changes_nothing():
    block, same = built(attention=ExtendedSelfAttention(8, 2)), built()
    same.set_weights(block.get_weights())
    tokens = example((2, 5, 8))
    np.testing.assert_array_equal(to_numpy(block(tokens)), to_numpy(same(tokens)))
    assert [w.name for w in block.weights] == [w.name for w in same.weights]
