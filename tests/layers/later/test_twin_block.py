from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import (
    MLP,
    Branch,
    GatedMLP,
    LayerNormalization,
    RMSNormalization,
    SelfAttention,
    TransformerBlock,
    TwinBlock,
)
from tests.contract import (
    check_layer,
    check_scores,
    example,
    set_random_weights,
    to_numpy,
)

TOKENS = example((2, 5, 8))

# One branch


def make_branch(layer: Any = MLP, layer_options: Any = None, **options: Any) -> Branch:
    """Return a branch of width 8; a `dtype` is that of the layer, too."""
    sizes = {MLP: (8, 12), GatedMLP: (8, 12), SelfAttention: (8, 2)}[layer]
    own = {"dtype": options.get("dtype"), "name": "layer", **(layer_options or {})}
    return Branch(layer(*sizes, **own), **options)


@pytest.mark.parametrize(
    ("layer", "layer_options", "options"),
    [
        (MLP, {}, {}),
        (SelfAttention, {}, {"layer_scale": 0.1, "norm": RMSNormalization()}),
        (
            SelfAttention,
            {"query_key_norm": LayerNormalization()},
            {"stochastic_depth_rate": 0.1, "norm": LayerNormalization(1e-5)},
        ),
    ],
    ids=["MLP", "attention", "attention with norms"],
)
def test_branch_keeps_the_layer_contract(layer, layer_options, options):
    make = partial(make_branch, layer, layer_options, **options)
    check_layer(make, (2, 5, 8), (2, 5, 8))


def test_branch_normalizes_runs_its_layer_and_scales():
    branch = make_branch(layer_scale=0.5)
    branch.build(TOKENS.shape)
    set_random_weights(branch, scale=0.3)
    x = branch.layer(branch.norm(TOKENS))
    expected = to_numpy(x) * to_numpy(branch.scale.gamma)
    np.testing.assert_allclose(to_numpy(branch(TOKENS)), expected, atol=1e-6)


def test_branch_skips_its_share_of_the_images_in_training():
    branch = make_branch(stochastic_depth_rate=0.5)
    x = to_numpy(branch(example((200, 5, 8)), training=True))
    np.testing.assert_allclose((x == 0).all(axis=(1, 2)).mean(), 0.5, atol=0.15)


def test_a_scale_of_zero_gives_zero():
    assert not to_numpy(make_branch(layer_scale=0.0)(TOKENS)).any()


def test_branch_uses_the_layer_that_it_is_handed():
    layer = MLP(8, 12)
    assert Branch(layer).layer is layer


@pytest.mark.parametrize("layer", ["mlp", None])
def test_branch_rejects_what_is_no_layer(layer):
    with pytest.raises(TypeError, match=f"received layer={layer!r}.*Pass a layer such"):
        Branch(layer)


def test_branch_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="stochastic_depth_rate=1.0. It is the share"):
        make_branch(stochastic_depth_rate=1.0)


def test_branch_returns_the_weights_of_its_attention():
    make = partial(make_branch, SelfAttention)
    found = check_scores(make, (2, 5, 8), (2, 2, 5, 5))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    branch = make()
    branch.build(TOKENS.shape)
    set_random_weights(branch, scale=0.5)
    _, scores = branch(TOKENS, return_attention_scores=True)
    normed = branch.norm(TOKENS)
    _, expected = branch.layer(normed, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(scores), to_numpy(expected), atol=1e-6)


# Four branches


def make_twin(mlp: Any = MLP, mlp_options: Any = None, **options: Any) -> TwinBlock:
    """Return a block of width 8; all but its name and dtype are options of branches."""
    own = {"dtype": options.pop("dtype", None), "name": options.pop("name", None)}
    branches = []
    for name in TwinBlock.handed:
        is_attention = name.startswith("attention")
        layer, below = (SelfAttention, {}) if is_attention else (mlp, mlp_options)
        names = {"name": name, "dtype": own["dtype"]}
        branches.append(make_branch(layer, below, **names, **options))
    return TwinBlock(*branches, **own)


def built(**options: Any) -> TwinBlock:
    block = make_twin(**options)
    block.build(TOKENS.shape)
    set_random_weights(block, scale=0.3)
    return block


@pytest.mark.parametrize(
    ("mlp", "mlp_options", "options"),
    [
        (MLP, {"dropout_rate": 0.1}, {"layer_scale": 0.1}),
        (GatedMLP, {}, {"norm": RMSNormalization(), "stochastic_depth_rate": 0.1}),
    ],
    ids=["MLP", "GatedMLP"],
)
def test_twin_block_keeps_the_layer_contract(mlp, mlp_options, options):
    make = partial(make_twin, mlp, mlp_options, **options)
    check_layer(make, (2, 5, 8), (2, 5, 8))


def test_twin_block_adds_two_attentions_then_two_mlps():
    block = built(layer_scale=0.5)
    x = TOKENS + to_numpy(block.attention_0(TOKENS))
    x = x + to_numpy(block.attention_1(TOKENS))
    expected = x + to_numpy(block.mlp_0(x)) + to_numpy(block.mlp_1(x))
    np.testing.assert_allclose(to_numpy(block(TOKENS)), expected, atol=1e-5)


def test_without_the_second_branches_it_is_a_transformer_block():
    block, same = built(), TransformerBlock(SelfAttention(8, 2), MLP(8, 12))
    same.build(TOKENS.shape)
    first = [*block.attention_0.get_weights(), *block.mlp_0.get_weights()]
    same.set_weights(first)
    for branch in (block.attention_1, block.mlp_1):
        branch.set_weights([0 * weight for weight in branch.get_weights()])
    np.testing.assert_allclose(
        to_numpy(block(TOKENS)), to_numpy(same(TOKENS)), atol=1e-5
    )


def test_twins_start_with_different_weights():
    block = make_twin()
    block.build(TOKENS.shape)
    kernels = [
        to_numpy(b.layer.qkv.kernel) for b in (block.attention_0, block.attention_1)
    ]
    assert abs(kernels[0] - kernels[1]).max() > 1e-2


def test_a_scale_of_zero_makes_the_block_the_identity():
    block = make_twin(layer_scale=0.0)
    np.testing.assert_array_equal(to_numpy(block(TOKENS)), TOKENS)


@pytest.mark.parametrize("missing", TwinBlock.handed)
def test_twin_block_needs_all_four_layers(missing):
    layers = {name: make_branch() for name in TwinBlock.handed}
    with pytest.raises(TypeError, match=f"received {missing}=None.*Pass a layer such"):
        TwinBlock(**{**layers, missing: None})


def test_twin_block_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        make_twin().build((None, 8))


def test_twin_block_returns_the_weights_of_both_attentions():
    found = check_scores(make_twin, (2, 5, 8), (2, 4, 5, 5))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    block = built()
    _, scores = block(TOKENS, return_attention_scores=True)
    expected = [
        to_numpy(branch(TOKENS, return_attention_scores=True)[1])
        for branch in (block.attention_0, block.attention_1)
    ]
    np.testing.assert_allclose(
        to_numpy(scores), np.concatenate(expected, axis=1), atol=1e-6
    )
