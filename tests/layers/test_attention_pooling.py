from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import AttentionPooling
from tests.contract import check_layer, example, set_random_weights, to_numpy


def built(**options: Any) -> AttentionPooling:
    layer = AttentionPooling(8, 2, 12, **options)
    layer.build((None, 5, 8))
    set_random_weights(layer, scale=0.5)
    return layer


def weight(layer: AttentionPooling, path: str) -> np.ndarray:
    (found,) = (w for w in layer.weights if w.path.endswith(f"/{path}"))
    return to_numpy(found)


def reference(layer: AttentionPooling, tokens: np.ndarray) -> np.ndarray:
    """Compute the pooled tokens image by image and head by head."""

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ weight(layer, f"{name}/kernel") + weight(layer, f"{name}/bias")

    query = dense("query", to_numpy(layer.probe)[0, 0])
    key, value = np.split(dense("key_value", tokens), 2, axis=-1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        powers = np.exp(key[..., part] @ query[part] / math.sqrt(4))
        weights = powers / powers.sum(axis=1, keepdims=True)
        heads.append((weights[..., None] * value[..., part]).sum(axis=1))
    x = dense("output_projection", np.concatenate(heads, axis=-1))
    centred = x - x.mean(axis=-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    normed = normed * weight(layer, "norm/gamma") + weight(layer, "norm/beta")
    return x + dense("mlp/contract", np.maximum(dense("mlp/expand", normed), 0))


@pytest.mark.parametrize(
    "options",
    [{}, {"num_prefix_tokens": 2, "activation": "gelu_tanh"}, {"normalization": "rms"}],
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
    with pytest.raises(ValueError, match="num_prefix_tokens=-1. Use 0 to read all"):
        AttentionPooling(8, 2, 12, num_prefix_tokens=-1)


def test_attention_pooling_rejects_a_prefix_that_leaves_no_token():
    with pytest.raises(ValueError, match="Use a longer sequence or a smaller"):
        AttentionPooling(8, 2, 12, num_prefix_tokens=5).build((None, 5, 8))


def test_attention_pooling_rejects_an_unknown_normalization():
    with pytest.raises(ValueError, match=r"\['layer', 'rms'\], received 'batch'"):
        AttentionPooling(8, 2, 12, normalization="batch")


def test_attention_pooling_rejects_tokens_of_another_width():
    with pytest.raises(ValueError, match="Make the layer with hidden_dim=9"):
        AttentionPooling(8, 2, 12).build((None, 5, 9))
