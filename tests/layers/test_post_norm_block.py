from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import ExtendedSelfAttention, GatedMLP, PostNormBlock
from keras_vit.layers.rotation import rotation_table
from tests.contract import check_layer, example, set_random_weights, to_numpy

TOKENS = example((3, 5, 8))
ROTARY = ExtendedSelfAttention(8, 2, rotary_layout="half")


def built(**options: Any) -> PostNormBlock:
    block = PostNormBlock(8, 2, 12, **options)
    block.build(TOKENS.shape)
    set_random_weights(block, scale=0.3)
    return block


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, "activation": "relu"},
        {"stochastic_depth_rate": 0.2, "epsilon": 1e-5, "normalization": "rms"},
        {"attention": ROTARY, "mlp": GatedMLP(8, 12)},
    ],
    ids=str,
)
def test_post_norm_block_keeps_the_layer_contract(options):
    make = partial(PostNormBlock, 8, 2, 12, **options)
    check_layer(make, (3, 5, 8), (3, 5, 8))


def test_post_norm_block_with_a_rotation_keeps_the_layer_contract():
    make = partial(PostNormBlock, 8, 2, 12, attention=ROTARY)
    check_layer(make, [(3, 5, 8), (2, 5, 1, 4)], (3, 5, 8))


@pytest.mark.parametrize("attention", [None, ROTARY])
def test_the_norms_come_after_attention_and_mlp(attention):
    block = built(attention=attention)
    middle = TOKENS + to_numpy(block.attention_norm(block.attention(TOKENS)))
    expected = middle + to_numpy(block.mlp_norm(block.mlp(middle)))
    np.testing.assert_allclose(to_numpy(block(TOKENS)), expected, atol=1e-5)


def test_a_rotation_reaches_the_attention():
    block = built(attention=ROTARY)
    rotation = rotation_table(example((5, 1, 2)), "half")
    x = block.attention(TOKENS, rotation=rotation)
    middle = TOKENS + to_numpy(block.attention_norm(x))
    expected = middle + to_numpy(block.mlp_norm(block.mlp(middle)))
    found = to_numpy(block(TOKENS, rotation=rotation))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - to_numpy(block(TOKENS))).max() > 1e-3


def test_norms_without_scale_make_the_block_the_identity():
    block = built()
    for norm in (block.attention_norm, block.mlp_norm):
        norm.set_weights([0 * weight for weight in norm.get_weights()])
    np.testing.assert_array_equal(to_numpy(block(TOKENS)), TOKENS)


def test_an_image_that_skips_both_branches_keeps_its_tokens():
    block, tokens = built(stochastic_depth_rate=0.9), example((64, 5, 8))
    outputs = to_numpy(block(tokens, training=True))
    unchanged = (outputs == tokens).all(axis=(1, 2))
    assert 0.6 < unchanged.mean() < 0.95


def test_post_norm_block_rejects_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        PostNormBlock(8, 3, 12)


def test_post_norm_block_rejects_an_unknown_activation():
    with pytest.raises(ValueError, match="activation must be one of"):
        PostNormBlock(8, 2, 12, activation="gulu")


def test_post_norm_block_rejects_an_attention_that_is_no_layer():
    with pytest.raises(TypeError, match=r"received 'rotary' \(str\). Pass a layer"):
        PostNormBlock(8, 2, 12, attention="rotary")


def test_post_norm_block_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        PostNormBlock(8, 2, 12).build((None, 5, 9))
