from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import AttentionPooling, RMSNormalization
from tests.contract import (
    check_layer,
    check_scores,
    example,
    set_random_weights,
    to_numpy,
)


def built(**options: Any) -> AttentionPooling:
    layer = AttentionPooling(8, 2, 12, **options)
    layer.build((None, 5, 8))
    set_random_weights(layer, scale=0.5)
    return layer


def weight(layer: AttentionPooling, path: str) -> np.ndarray:
    (found,) = (w for w in layer.weights if w.path.endswith(f"/{path}"))
    return to_numpy(found)


def reference_scores(layer: AttentionPooling, tokens: np.ndarray) -> np.ndarray:
    """Compute how much each head reads from each token, (B, h, 1, T)."""
    query = to_numpy(layer.probe)[0, 0] @ weight(layer, "query/kernel")
    query = query + weight(layer, "query/bias")
    key = tokens @ weight(layer, "key_value/kernel") + weight(layer, "key_value/bias")
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        powers = np.exp(key[..., part] @ query[part] / math.sqrt(4))
        heads.append(powers / powers.sum(axis=1, keepdims=True))
    return np.stack(heads, axis=1)[:, :, None]


def reference(layer: AttentionPooling, tokens: np.ndarray) -> np.ndarray:
    """Compute the pooled tokens image by image and head by head."""

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weight(layer, f"{name}/kernel") + weight(layer, f"{name}/bias")

    value = dense("key_value", tokens)[..., 8:]
    weights = reference_scores(layer, tokens)[:, :, 0, :, None]
    heads = [
        (weights[:, i] * value[..., part]).sum(axis=1)
        for i, part in enumerate((slice(0, 4), slice(4, 8)))
    ]
    x = dense("output_projection", np.concatenate(heads, axis=-1))
    centred = x - x.mean(axis=-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    normed = normed * weight(layer, "norm/gamma") + weight(layer, "norm/beta")
    return x + dense("mlp/contract", np.maximum(dense("mlp/expand", normed), 0))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_prefix_tokens": 2, "activation": "gelu_tanh"},
        {"norm": RMSNormalization()},
    ],
)
def test_attention_pooling_keeps_the_layer_contract(options):
    check_layer(partial(AttentionPooling, 8, 2, 12, **options), (2, 5, 8), (2, 8))


def test_attention_pooling_equals_the_formula():
    layer, tokens = built(activation="relu"), example((3, 5, 8))
    np.testing.assert_allclose(
        to_numpy(layer(tokens)), reference(layer, tokens), atol=1e-4
    )


def test_attention_pooling_does_not_read_the_prefix():
    layer, tokens = built(num_prefix_tokens=2), example((3, 5, 8))
    same = built()
    same.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        to_numpy(layer(tokens)), to_numpy(same(tokens[:, 2:])), atol=1e-5
    )


def test_the_order_of_the_tokens_does_not_matter(rng):
    layer, tokens = built(), example((3, 5, 8))
    np.testing.assert_allclose(
        to_numpy(layer(tokens[:, rng.permutation(5)])),
        to_numpy(layer(tokens)),
        atol=1e-5,
    )


def test_attention_pooling_rejects_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="Choose a num_heads that divides hidden_dim"):
        AttentionPooling(8, 3, 12)


def test_attention_pooling_rejects_a_negative_prefix():
    with pytest.raises(ValueError, match="num_prefix_tokens must be at least 0"):
        AttentionPooling(8, 2, 12, num_prefix_tokens=-1)


def test_attention_pooling_rejects_a_prefix_that_leaves_no_token():
    with pytest.raises(ValueError, match="Use a longer sequence or a smaller"):
        AttentionPooling(8, 2, 12, num_prefix_tokens=5).build((None, 5, 8))


def test_attention_pooling_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make it with hidden_dim=9"):
        AttentionPooling(8, 2, 12).build((None, 5, 9))


@pytest.mark.parametrize("prefix", [0, 2])
def test_attention_pooling_returns_its_weights(prefix):
    make = partial(AttentionPooling, 8, 2, 12, num_prefix_tokens=prefix)
    found = check_scores(make, (3, 5, 8), (3, 2, 1, 5 - prefix))
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    layer, tokens = built(num_prefix_tokens=prefix), example((3, 5, 8))
    _, scores = layer(tokens, return_attention_scores=True)
    expected = reference_scores(layer, tokens[:, prefix:])
    np.testing.assert_allclose(to_numpy(scores), expected, atol=1e-5)
