"""The options of SelfAttention that later families of models brought."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import (
    AttentionProduct,
    LayerNormalization,
    RMSNormalization,
    SelfAttention,
)
from keras_vit.layers.positions.rotation import rotation_table
from tests.contract import (
    check_layer,
    check_scores,
    example,
    set_random_weights,
    to_numpy,
)

TOKENS = example((3, 5, 16))
ANGLES = example((5, 4, 2), seed=7)  # (T, heads, d / 2)

OPTIONS = [
    {},
    {"num_kv_heads": 2, "qkv_bias": False},
    {
        "num_kv_heads": 1,
        "query_key_norm": RMSNormalization(),
        "is_norm_per_head": False,
        "context_norm": RMSNormalization(0.01),
    },
    {"qkv_bias": "qv", "context_norm": LayerNormalization(), "use_output_bias": False},
    {"query_key_norm": LayerNormalization(1e-5), "dropout_rate": 0.1},
    {"query_key_norm": RMSNormalization(), "attention_dropout_rate": 0.1},
]
IDS = [
    *("defaults", "two groups", "norms over all heads", "query and value bias"),
    *("norm per head", "rms norm per head"),
]


def built(**options: Any) -> SelfAttention:
    layer = SelfAttention(16, 4, **options)
    layer.build(TOKENS.shape)
    set_random_weights(layer, scale=0.3)
    return layer


class Reference:
    """The same attention in numpy, from the weights of a layer by their names."""

    def __init__(self, layer: SelfAttention) -> None:
        self.layer = layer
        start = len(layer.weights[0].path.split("/")) - 2  # .../qkv/kernel
        self.weights = {
            "/".join(w.path.split("/")[start:]): to_numpy(w) for w in layer.weights
        }

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        if f"{name}/gamma" not in self.weights:
            return x
        norm = getattr(self.layer, name)
        if isinstance(norm, LayerNormalization):
            x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + norm.epsilon)
        beta = self.weights.get(f"{name}/beta", 0)
        return x * self.weights[f"{name}/gamma"] + beta

    def rotated(self, x: np.ndarray, angles: np.ndarray | None) -> np.ndarray:
        if angles is None:
            return x
        pairs = x.reshape(*x.shape[:-1], 2, 2)
        turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    def __call__(
        self, tokens: np.ndarray, angles: np.ndarray | None = None
    ) -> np.ndarray:
        layer, weights = self.layer, self.weights
        groups = layer.num_kv_heads or layer.num_heads
        qkv = tokens @ weights["qkv/kernel"] + weights.get("qkv/bias", 0)
        query, key, value = np.split(qkv, [16, 16 + 4 * groups], axis=-1)
        query = query + weights.get("query_value_bias/query_bias", 0)
        value = value + weights.get("query_value_bias/value_bias", 0)
        heads = (*tokens.shape[:2], -1, 4)
        if not layer.is_norm_per_head:
            query, key = self.norm("query_norm", query), self.norm("key_norm", key)
        query, key, value = (x.reshape(heads) for x in (query, key, value))
        if layer.is_norm_per_head:
            query, key = self.norm("query_norm", query), self.norm("key_norm", key)
        query = self.rotated(query, angles)
        context, self.scores = [], []
        for i in range(4):
            group = i // (4 // groups)
            turn = None if angles is None else angles[:, min(i, angles.shape[1] - 1)]
            own = self.rotated(key[:, :, group], turn)
            scores = query[:, :, i] @ own.swapaxes(1, 2) / math.sqrt(4)
            powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
            shares = powers / powers.sum(axis=-1, keepdims=True)
            self.scores.append(shares)
            context.append(shares @ value[:, :, group])
        x = self.norm("context_norm", np.concatenate(context, axis=-1))
        x = x @ weights["output_projection/kernel"]
        return x + weights.get("output_projection/bias", 0)


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_self_attention_keeps_the_layer_contract(options):
    make = partial(SelfAttention, 16, 4, **options)
    check_layer(make, (3, 5, 16), (3, 5, 16))


@pytest.mark.parametrize("heads", [1, 4])
def test_self_attention_with_a_rotation_keeps_the_layer_contract(heads):
    make = partial(SelfAttention, 16, 4, rotary_layout="half")
    check_layer(make, [(3, 5, 16), (2, 5, heads, 4)], (3, 5, 16))


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_self_attention_equals_the_formula(options):
    layer = built(**options)
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS)), Reference(layer)(TOKENS), atol=2e-5
    )


@pytest.mark.parametrize(
    ("options", "angles"),
    [
        ({}, ANGLES),
        ({}, ANGLES[:, :1]),
        ({"query_key_norm": LayerNormalization(), "qkv_bias": "qv"}, ANGLES),
        (
            {
                "num_kv_heads": 2,
                "query_key_norm": RMSNormalization(),
                "is_norm_per_head": False,
            },
            ANGLES[:, :1],
        ),
    ],
    ids=["each head", "all heads alike", "norm per head", "norm over all heads"],
)
def test_queries_and_keys_are_rotated_after_their_norm(options, angles):
    layer = built(rotary_layout="interleaved", **options)
    rotation = rotation_table(angles, "interleaved")
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS, rotation=rotation)),
        Reference(layer)(TOKENS, angles),
        atol=2e-5,
    )


def test_each_norm_is_a_copy():
    norm = LayerNormalization(0.1)
    layer = built(query_key_norm=norm, context_norm=norm)
    assert len({id(layer.query_norm), id(layer.key_norm), id(layer.context_norm)}) == 3
    assert not norm.built


def test_another_product_can_be_handed_over():
    product = AttentionProduct(0.1, name="product")
    layer = SelfAttention(16, 4, product=product)
    assert layer.product is product
    assert SelfAttention.from_config(layer.get_config()).product.dropout_rate == 0.1


def test_grouped_heads_equal_repeated_ones():
    grouped, full = built(num_kv_heads=2), built()
    kernel, bias, *output = grouped.get_weights()
    repeated = []
    for x in (kernel, bias):
        query, key, value = np.split(x, [16, 24], axis=-1)
        key, value = (
            np.repeat(part.reshape(*part.shape[:-1], 2, 4), 2, axis=-2).reshape(
                *part.shape[:-1], 16
            )
            for part in (key, value)
        )
        repeated.append(np.concatenate([query, key, value], axis=-1))
    full.set_weights([*repeated, *output])
    np.testing.assert_allclose(
        to_numpy(grouped(TOKENS)), to_numpy(full(TOKENS)), atol=1e-5
    )


def test_a_bias_of_the_keys_changes_nothing():
    layer, full = built(qkv_bias="qv"), built()
    weights = {w.path.split("/", 1)[1]: w for w in layer.weights}
    bias = np.concatenate(
        [
            to_numpy(weights["query_value_bias/query_bias"]),
            np.full(16, 3.0),
            to_numpy(weights["query_value_bias/value_bias"]),
        ]
    )
    full.set_weights([layer.qkv.kernel, bias, *layer.output_projection.get_weights()])
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS)), to_numpy(full(TOKENS)), atol=1e-5
    )


def test_a_rotation_by_zero_changes_nothing():
    layer = built(rotary_layout="half")
    rotation = rotation_table(np.zeros((5, 1, 2), "float32"), "half")
    np.testing.assert_array_equal(
        to_numpy(layer(TOKENS, rotation=rotation)), to_numpy(layer(TOKENS))
    )


def test_self_attention_drops_nothing_at_inference():
    layer = built(dropout_rate=0.5, attention_dropout_rate=0.5)
    np.testing.assert_allclose(
        to_numpy(layer(TOKENS, training=False)), Reference(layer)(TOKENS), atol=2e-5
    )


@pytest.mark.parametrize(
    "options", [{"num_heads": 3}, {"num_heads": 0}, {"num_kv_heads": 3}]
)
def test_self_attention_rejects_heads_that_do_not_divide(options):
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        SelfAttention(**{"hidden_dim": 16, "num_heads": 4, **options})


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"qkv_bias": "k"}, "received qkv_bias='k'.*Use True, and a key bias of 0"),
        ({"qkv_bias": "qv", "num_kv_heads": 2}, "the last without num_kv_heads"),
        ({"rotary_layout": "pairs"}, "layout='pairs'. It says which channels"),
        ({"dropout_rate": 1.0}, "dropout_rate=1.0. It is the share"),
        ({"attention_dropout_rate": -0.1}, "attention_dropout_rate=-0.1. It is"),
    ],
)
def test_self_attention_rejects_with_advice(options, advice):
    with pytest.raises(ValueError, match=advice):
        SelfAttention(16, 4, **options)


# Attention weights


@pytest.mark.parametrize(
    "options",
    [OPTIONS[1], OPTIONS[2], OPTIONS[3]],
    ids=[IDS[1], IDS[2], IDS[3]],
)
def test_scores_of_later_options_sum_to_one(options):
    found = check_scores(
        partial(SelfAttention, 16, 4, **options), (3, 5, 16), (3, 4, 5, 5)
    )
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)


def test_scores_of_one_group_are_those_of_each_head_that_reads_it():
    layer = built(num_kv_heads=2)
    reference = Reference(layer)
    _, scores = layer(TOKENS, return_attention_scores=True)
    reference(TOKENS)
    expected = np.stack(reference.scores, axis=1)
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-5)


def test_scores_are_made_of_rotated_queries_and_keys():
    make = partial(SelfAttention, 16, 4, rotary_layout="interleaved")
    check_scores(make, [(3, 5, 16), (2, 5, 4, 4)], (3, 4, 5, 5))
    layer = built(rotary_layout="interleaved")
    rotation = rotation_table(ANGLES, "interleaved")
    _, scores = layer(TOKENS, rotation=rotation, return_attention_scores=True)
    reference = Reference(layer)
    reference(TOKENS, ANGLES)
    expected = np.stack(reference.scores, axis=1)
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-5)
