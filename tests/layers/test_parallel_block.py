from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import ParallelBlock
from tests.contract import check_layer, example, set_random_weights, to_numpy

TOKENS = example((2, 5, 8))
OPTIONS = [
    {},
    {"use_qkv_bias": False, "layer_scale": 0.5, "use_query_key_norm": True},
    {"use_joint_output": True, "normalization": "rms", "use_query_key_norm": True},
    {"use_joint_output": True, "depth": 2, "use_qkv_bias": False},
]


def built(**options: Any) -> ParallelBlock:
    block = ParallelBlock(8, 2, 12, activation="relu", **options)
    block.build(TOKENS.shape)
    set_random_weights(block, scale=0.3)
    return block


def norm(layer: Any, x: np.ndarray, kind: str) -> np.ndarray:
    if layer is None:
        return x
    gamma, *beta = layer.get_weights()
    if kind == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
    return x * gamma + sum(beta)


def dense(layer: Any, x: np.ndarray) -> np.ndarray:
    kernel, *bias = layer.get_weights()
    return x @ kernel + sum(bias)


def reference(block: ParallelBlock, tokens: np.ndarray) -> np.ndarray:
    """Compute the block with plain attention in numpy."""
    kind = block.normalization
    x = dense(block.expand, norm(block.norm, tokens, kind))
    mlp, query, key, value = np.split(x, [12, 20, 28], axis=-1)
    context = []
    for part in (slice(0, 4), slice(4, 8)):
        q = norm(block.query_norm, query[..., part], kind)
        k = norm(block.key_norm, key[..., part], kind)
        powers = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(4))
        context.append(powers / powers.sum(axis=-1, keepdims=True) @ value[..., part])
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
    [*OPTIONS, {"dropout_rate": 0.1, "stochastic_depth_rate": 0.1}],
    ids=str,
)
def test_parallel_block_keeps_the_layer_contract(options):
    make = partial(ParallelBlock, 8, 2, 12, **options)
    check_layer(make, (2, 5, 8), (2, 5, 8))


@pytest.mark.parametrize("options", OPTIONS[:3], ids=str)
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


def test_depth_makes_the_attention_differential():
    block = built(depth=1)
    x = dense(block.expand, norm(block.norm, TOKENS, "layer"))
    mlp, query, key, value = np.split(x, [12, 20, 28], axis=-1)
    query, key = (part.reshape(2, 5, 4, 2).astype("float32") for part in (query, key))
    value = value.reshape(2, 5, 2, 4).astype("float32")
    context = to_numpy(block.product(query, key, value)).reshape(2, 5, 8)
    expected = TOKENS + dense(block.attention_output, context)
    expected = expected + dense(block.mlp_output, np.maximum(mlp, 0))
    np.testing.assert_allclose(to_numpy(block(TOKENS)), expected, atol=1e-4)


@pytest.mark.parametrize(
    "rate", ["dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"]
)
def test_parallel_block_drops_in_training_only(rate):
    block, same = built(**{rate: 0.5}), built()
    tokens = example((16, 5, 8))
    expected = to_numpy(same(tokens))
    assert abs(to_numpy(block(tokens, training=True)) - expected).max() > 1e-3
    np.testing.assert_allclose(
        to_numpy(block(tokens, training=False)), expected, atol=1e-6
    )


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"num_heads": 8, "depth": 0}])
def test_parallel_block_rejects_heads_that_do_not_divide(options):
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        ParallelBlock(**{"hidden_dim": 8, "num_heads": 2, "mlp_dim": 12, **options})


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"activation": "gulu"}, "activation must be one of"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0. It is the share"),
        ({"attention_dropout_rate": 1.0}, "dropout_rate=1.0. It is the share"),
        ({"normalization": "batch"}, "received 'batch'. Check the spelling"),
    ],
)
def test_parallel_block_rejects_with_advice(options, advice):
    with pytest.raises(ValueError, match=advice):
        ParallelBlock(8, 2, 12, **options)


def test_parallel_block_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        ParallelBlock(8, 2, 12).build((None, 5, 9))
