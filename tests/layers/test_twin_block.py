from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import MLP, GatedMLP, SelfAttention, TransformerBlock, TwinBlock
from tests.contract import check_layer, example, set_random_weights, to_numpy

TOKENS = example((2, 5, 8))


def built(**options: Any) -> TwinBlock:
    block = TwinBlock(SelfAttention(8, 2), MLP(8, 12), **options)
    block.build(TOKENS.shape)
    set_random_weights(block, scale=0.3)
    return block


@pytest.mark.parametrize(
    ("mlp", "options"),
    [
        (MLP(8, 12, dropout_rate=0.1), {"layer_scale": 0.1}),
        (GatedMLP(8, 12), {"normalization": "rms", "stochastic_depth_rate": 0.1}),
    ],
)
def test_twin_block_keeps_the_layer_contract(mlp, options):
    make = partial(TwinBlock, SelfAttention(8, 2), mlp, **options)
    check_layer(make, (2, 5, 8), (2, 5, 8))


def test_twin_block_adds_two_attentions_then_two_mlps():
    block = built(layer_scale=0.5)
    x = TOKENS + to_numpy(block.attention_0(TOKENS))
    x = x + to_numpy(block.attention_1(TOKENS))
    expected = x + to_numpy(block.mlp_0(x)) + to_numpy(block.mlp_1(x))
    np.testing.assert_allclose(to_numpy(block(TOKENS)), expected, atol=1e-5)


def test_without_the_second_branches_it_is_a_transformer_block():
    block, same = built(), TransformerBlock(8, 2, 12)
    same.build(TOKENS.shape)
    first = [*block.attention_0.get_weights(), *block.mlp_0.get_weights()]
    same.set_weights(first)
    for branch in (block.attention_1, block.mlp_1):
        branch.set_weights([0 * weight for weight in branch.get_weights()])
    np.testing.assert_allclose(
        to_numpy(block(TOKENS)), to_numpy(same(TOKENS)), atol=1e-5
    )


def test_twins_start_with_different_weights():
    block = TwinBlock(SelfAttention(8, 2), MLP(8, 12))
    block.build(TOKENS.shape)
    kernels = [
        to_numpy(b.layer.qkv.kernel) for b in (block.attention_0, block.attention_1)
    ]
    assert abs(kernels[0] - kernels[1]).max() > 1e-2


def test_a_scale_of_zero_makes_the_block_the_identity():
    block = TwinBlock(SelfAttention(8, 2), MLP(8, 12), layer_scale=0.0)
    np.testing.assert_array_equal(to_numpy(block(TOKENS)), TOKENS)


def test_twin_block_needs_both_layers():
    with pytest.raises(ValueError, match="received layer=None. Pass one such as"):
        TwinBlock(None, MLP(8, 12))


def test_twin_block_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        TwinBlock(SelfAttention(8, 2), MLP(8, 12)).build((None, 8))
