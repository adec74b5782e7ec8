from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import (
    MLP,
    GatedMLP,
    LayerNormalization,
    RMSNormalization,
    SelfAttention,
    TransformerBlock,
)
from keras_vit.layers.positions.rotation import rotation_table
from tests.contract import (
    check_layer,
    check_scores,
    example,
    set_random_weights,
    to_numpy,
)
from tests.layers.blocks import make_block

RATES = {"dropout_rate": 0.1, "attention_dropout_rate": 0.1}
ROTARY = {"rotary_layout": "half"}


def built(**options: Any) -> TransformerBlock:
    block = make_block(**options)
    block.build((None, 5, 8))
    set_random_weights(block, scale=0.3)
    return block


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"attention": RATES, "mlp": {"dropout_rate": 0.1, "activation": "relu"}},
        {"stochastic_depth_rate": 0.2, "norm": LayerNormalization(1e-5)},
        {"layer_scale": 0.1, "norm": RMSNormalization()},
        {"layer_scale": 0.1, "use_mlp_layer_scale": False, "attention": ROTARY},
        {"mlp": {"norm": LayerNormalization(), "activation": "gelu_tanh"}},
        {"normalize_first": False, "norm": RMSNormalization(), "layer_scale": 0.1},
    ],
    ids=[
        *("defaults", "rates", "stochastic depth", "layer scale"),
        *("layer scale of the attention", "norm in the MLP", "norms after"),
    ],
)
def test_transformer_block_keeps_the_layer_contract(options):
    check_layer(partial(make_block, **options), (2, 5, 8), (2, 5, 8))


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


def test_both_normalizations_are_copies_of_the_one_given():
    norm = LayerNormalization(0.5)
    block = make_block(norm=norm)
    assert (block.attention_norm.epsilon, block.mlp_norm.epsilon) == (0.5, 0.5)
    assert len({id(norm), id(block.attention_norm), id(block.mlp_norm)}) == 3


def test_the_normalization_is_the_papers_unless_another_is_given():
    block = make_block()
    for norm in (block.attention_norm, block.mlp_norm):
        assert (type(norm), norm.epsilon) == (LayerNormalization, 1e-6)


@pytest.mark.parametrize("normalize_first", [True, False])
def test_transformer_block_drops_nothing_at_inference(normalize_first):
    order = {"normalize_first": normalize_first}
    half = dict.fromkeys(RATES, 0.5)
    block = built(
        attention=half, mlp={"dropout_rate": 0.5}, stochastic_depth_rate=0.5, **order
    )
    same, tokens = built(**order), example((2, 5, 8))
    np.testing.assert_allclose(
        to_numpy(block(tokens, training=False)), to_numpy(same(tokens)), atol=1e-6
    )


@pytest.mark.parametrize("normalize_first", [True, False])
def test_an_image_that_skips_both_branches_keeps_its_tokens(normalize_first):
    block = built(stochastic_depth_rate=0.9, normalize_first=normalize_first)
    tokens = example((64, 5, 8))
    outputs = to_numpy(block(tokens, training=True))
    unchanged = (outputs == tokens).all(axis=(1, 2))
    assert 0.6 < unchanged.mean() < 0.95


def branch_in_training(count: int) -> np.ndarray:
    """Return what a branch of ones adds to each of many images, a quarter dropped."""
    block = built(stochastic_depth_rate=0.25)
    branch = np.ones((count, 5, 8), "float32")
    kept = to_numpy(block.attention_stochastic_depth(branch, training=True))
    return kept.reshape(count, -1)


def test_stochastic_depth_drops_whole_images_or_scales_them():
    kept = branch_in_training(64)
    np.testing.assert_allclose(kept, np.repeat(kept[:, :1], 40, axis=1))
    np.testing.assert_allclose(np.unique(kept), [0, 1 / 0.75], rtol=1e-6)


def test_stochastic_depth_drops_its_share_of_the_images_and_keeps_the_mean():
    kept = branch_in_training(4000)
    np.testing.assert_allclose((kept == 0).mean(), 0.25, atol=0.03)
    np.testing.assert_allclose(kept.mean(), 1, atol=0.04)


@pytest.mark.parametrize(("rate", "training"), [(0.9, False), (0.0, True)])
def test_stochastic_depth_does_nothing_at_inference_or_at_rate_0(rate, training):
    block, same = built(stochastic_depth_rate=rate), built()
    tokens = example((16, 5, 8))
    outputs = to_numpy(block(tokens, training=training))
    np.testing.assert_allclose(outputs, to_numpy(same(tokens)), atol=1e-6)


def test_the_two_branches_are_dropped_by_draws_of_their_own():
    block, tokens = built(stochastic_depth_rate=0.5), example((64, 5, 8))
    for scale in (block.attention.output_projection, block.mlp.contract):
        scale.set_weights([0 * scale.kernel.value, 0 * scale.bias.value + 1])
    added = to_numpy(block(tokens, training=True)) - tokens
    np.testing.assert_allclose(np.unique(added.round(3)), [0, 2, 4], atol=1e-3)


def test_transformer_block_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="stochastic_depth_rate=1.5. It is the share"):
        make_block(stochastic_depth_rate=1.5)


@pytest.mark.parametrize("name", ["attention", "mlp"])
def test_transformer_block_rejects_tokens_of_another_width(name):
    layers = {"attention": SelfAttention(9, 3), "mlp": MLP(9, 12)}
    layers[name] = {"attention": SelfAttention(8, 2), "mlp": MLP(8, 12)}[name]
    with pytest.raises(ValueError, match="Make it with hidden_dim=9"):
        TransformerBlock(**layers).build((None, 5, 9))


def test_transformer_block_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        make_block().build((None, 8))


def test_transformer_block_rejects_an_attention_that_is_no_layer():
    with pytest.raises(TypeError, match=r"attention='rotary'. Pass a layer"):
        TransformerBlock("rotary", MLP(8, 12))


def test_transformer_block_uses_the_layers_that_it_is_handed():
    attention, mlp = SelfAttention(8, 2), GatedMLP(8, 12)
    block = TransformerBlock(attention, mlp)
    assert block.attention is attention and block.mlp is mlp


@pytest.mark.parametrize("normalize_first", [True, False])
def test_transformer_block_with_a_rotation_keeps_the_layer_contract(normalize_first):
    make = partial(make_block, attention=ROTARY, normalize_first=normalize_first)
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
    block = make_block(layer_scale=0.0)
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


# Norms after attention and MLP


@pytest.mark.parametrize("attention", [{}, ROTARY])
def test_the_norms_can_come_after_attention_and_mlp(attention):
    block = built(attention=attention, normalize_first=False, layer_scale=0.5)
    tokens = example((3, 5, 8))
    x = block.attention_scale(block.attention_norm(block.attention(tokens)))
    middle = tokens + to_numpy(x)
    x = block.mlp_scale(block.mlp_norm(block.mlp(middle)))
    expected = middle + to_numpy(x)
    np.testing.assert_allclose(to_numpy(block(tokens)), expected, atol=1e-5)


def test_a_rotation_reaches_the_attention_before_the_norms():
    block = built(attention=ROTARY, normalize_first=False)
    tokens, rotation = example((3, 5, 8)), rotation_table(example((5, 1, 2)), "half")
    x = block.attention(tokens, rotation=rotation)
    middle = tokens + to_numpy(block.attention_norm(x))
    expected = middle + to_numpy(block.mlp_norm(block.mlp(middle)))
    found = to_numpy(block(tokens, rotation=rotation))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - to_numpy(block(tokens))).max() > 1e-3


def test_norms_without_scale_make_the_block_the_identity():
    block, tokens = built(normalize_first=False), example((3, 5, 8))
    for norm in (block.attention_norm, block.mlp_norm):
        norm.set_weights([0 * weight for weight in norm.get_weights()])
    np.testing.assert_array_equal(to_numpy(block(tokens)), tokens)


# Attention weights


@pytest.mark.parametrize("normalize_first", [True, False])
def test_transformer_block_returns_the_weights_of_its_attention(normalize_first):
    make = partial(make_block, normalize_first=normalize_first, layer_scale=0.5)
    found = check_scores(make, (2, 5, 8), (2, 2, 5, 5))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    block, tokens = built(normalize_first=normalize_first), example((2, 5, 8))
    x = block.attention_norm(tokens) if normalize_first else tokens
    _, expected = block.attention(x, return_attention_scores=True)
    _, scores = block(tokens, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(scores), to_numpy(expected), atol=1e-6)


def test_weights_of_rotated_queries_and_keys_are_returned():
    make = partial(make_block, attention=ROTARY)
    found = check_scores(make, [(3, 5, 8), (2, 5, 1, 4)], (3, 2, 5, 5))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
