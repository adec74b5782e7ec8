from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import (
    AttentionProduct,
    DifferentialProduct,
    LayerNormalization,
    ParallelBlock,
    RMSNormalization,
)
from tests.contract import (
    check_layer,
    check_scores,
    example,
    set_random_weights,
    to_numpy,
)

TOKENS = example((2, 5, 8))
OPTIONS = [
    {},
    {
        "use_qkv_bias": False,
        "layer_scale": 0.5,
        "query_key_norm": LayerNormalization(0.1),
    },
    {
        "use_joint_output": True,
        "norm": RMSNormalization(1e-5),
        "query_key_norm": RMSNormalization(),
    },
]
DIFFERENTIAL = {"product": DifferentialProduct, "num_norm_parts": 2}
IDS = ["defaults", "query and key norm", "joint output"]


def make(product: Any = AttentionProduct, rate: float = 0.0, **options: Any) -> Any:
    """Return a block of width 8 with a new product; a `dtype` is that of both."""
    dtype = options.get("dtype")
    product = product(dropout_rate=rate, dtype=dtype, name="product")
    return ParallelBlock(8, 2, 12, product=product, **options)


def built(**options: Any) -> ParallelBlock:
    block = make(activation="relu", **options)
    block.build(TOKENS.shape)
    set_random_weights(block, scale=0.3)
    return block


def norm(layer: Any, x: np.ndarray) -> np.ndarray:
    if layer is None:
        return x
    gamma, *beta = layer.get_weights()
    if isinstance(layer, LayerNormalization):
        x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + layer.epsilon)
    return x * gamma + sum(beta)


def dense(layer: Any, x: np.ndarray) -> np.ndarray:
    kernel, *bias = layer.get_weights()
    return x @ kernel + sum(bias)


def reference_scores(block: ParallelBlock, tokens: np.ndarray) -> np.ndarray:
    """Compute how much each token reads from each token, (B, h, T, T)."""
    x = dense(block.expand, norm(block.norm, tokens))
    query, key, heads = x[..., 12:20], x[..., 20:28], []
    for part in (slice(0, 4), slice(4, 8)):
        q = norm(block.query_norm, query[..., part])
        k = norm(block.key_norm, key[..., part])
        powers = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(4))
        heads.append(powers / powers.sum(axis=-1, keepdims=True))
    return np.stack(heads, axis=1)


def reference(block: ParallelBlock, tokens: np.ndarray) -> np.ndarray:
    """Compute the block with plain attention in numpy."""
    x = dense(block.expand, norm(block.norm, tokens))
    mlp, value = x[..., :12], x[..., 28:]
    weights = reference_scores(block, tokens)
    context = [weights[:, 0] @ value[..., :4], weights[:, 1] @ value[..., 4:]]
    context = np.concatenate(context, axis=-1)
    if block.mlp_bias is not None:
        mlp = mlp + to_numpy(block.mlp_bias.bias)
    mlp = np.maximum(mlp, 0)
    if block.use_joint_output:
        x = dense(block.contract, np.concatenate([context, mlp], axis=-1))
    else:
        x = dense(block.attention_output, context) + dense(block.mlp_output, mlp)
    scale = 1 if block.scale is None else to_numpy(block.scale.gamma)
    return tokens + scale * x


@pytest.mark.parametrize(
    "options",
    [
        *OPTIONS,
        {"use_joint_output": True, "use_qkv_bias": False, **DIFFERENTIAL},
        {"query_key_norm": RMSNormalization(), **DIFFERENTIAL},
        {"dropout_rate": 0.1, "stochastic_depth_rate": 0.1},
    ],
    ids=[*IDS, "differential", "differential with norms", "rates"],
)
def test_parallel_block_keeps_the_layer_contract(options):
    check_layer(partial(make, **options), (2, 5, 8), (2, 5, 8))


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_parallel_block_equals_the_formula(options):
    block = built(**options)
    np.testing.assert_allclose(
        to_numpy(block(TOKENS)), reference(block, TOKENS), atol=2e-5
    )


def test_attention_and_mlp_read_the_same_tokens():
    # Without the values and without the MLP, what is left is the identity.
    block = built(layer_scale=0.5)
    for layer in (block.attention_output, block.mlp_output):
        layer.set_weights([0 * weight for weight in layer.get_weights()])
    np.testing.assert_array_equal(to_numpy(block(TOKENS)), TOKENS)


def test_one_joint_output_equals_two():
    joint, two = built(use_joint_output=True), built()
    shared = [*joint.norm.get_weights(), *joint.expand.get_weights()]
    kernel, bias = joint.contract.get_weights()
    two.set_weights([*shared, kernel[:8], bias, kernel[8:], 0 * bias])
    np.testing.assert_allclose(
        to_numpy(joint(TOKENS)), to_numpy(two(TOKENS)), atol=1e-5
    )


def test_a_scale_of_zero_makes_the_block_the_identity():
    block = ParallelBlock(8, 2, 12, layer_scale=0.0)
    np.testing.assert_array_equal(to_numpy(block(TOKENS)), TOKENS)


@pytest.mark.parametrize("query_key_norm", [None, LayerNormalization(0.1)])
def test_another_product_makes_the_attention_differential(query_key_norm):
    block = built(query_key_norm=query_key_norm, **DIFFERENTIAL)
    x = dense(block.expand, norm(block.norm, TOKENS))
    mlp, query, key, value = np.split(x, [12, 20, 28], axis=-1)
    # Each half of a head is normalized for itself.
    query = norm(block.query_norm, query.reshape(2, 5, 4, 2))
    key = norm(block.key_norm, key.reshape(2, 5, 4, 2))
    heads = (part.reshape(2, 5, 2, 4).astype("float32") for part in (query, key, value))
    context = to_numpy(block.product(*heads)).reshape(2, 5, 8)
    expected = TOKENS + dense(block.attention_output, context)
    expected = expected + dense(block.mlp_output, np.maximum(mlp, 0))
    np.testing.assert_allclose(to_numpy(block(TOKENS)), expected, atol=1e-4)


@pytest.mark.parametrize("rate", ["dropout_rate", "rate", "stochastic_depth_rate"])
def test_parallel_block_drops_in_training_only(rate):
    block, same = built(**{rate: 0.5}), built()
    tokens = example((16, 5, 8))
    expected = to_numpy(same(tokens))
    assert abs(to_numpy(block(tokens, training=True)) - expected).max() > 1e-3
    np.testing.assert_allclose(
        to_numpy(block(tokens, training=False)), expected, atol=1e-6
    )


def test_parallel_block_rejects_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        ParallelBlock(8, 3, 12)
    block = ParallelBlock(8, 8, 12, product=DifferentialProduct(), num_norm_parts=2)
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        block.build((None, 5, 8))


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"activation": "gulu"}, "activation must be one of"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0. It is the share"),
        ({"stochastic_depth_rate": 1.0}, "stochastic_depth_rate=1.0. It is the share"),
    ],
)
def test_parallel_block_rejects_with_advice(options, advice):
    with pytest.raises(ValueError, match=advice):
        ParallelBlock(8, 2, 12, **options)


def test_parallel_block_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make it with hidden_dim=9"):
        ParallelBlock(8, 2, 12).build((None, 5, 9))


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_parallel_block_returns_its_weights(options):
    found = check_scores(partial(make, **options), (2, 5, 8), (2, 2, 5, 5))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    block = built(**options)
    _, scores = block(TOKENS, return_attention_scores=True)
    expected = reference_scores(block, TOKENS)
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-5)


def test_parallel_block_returns_the_difference_of_two_attentions():
    check_scores(partial(make, **DIFFERENTIAL), (2, 5, 8), (2, 2, 5, 5))
