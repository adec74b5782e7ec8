from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from keras_vit.layers import DifferentialProduct
from tests.contract import check_layer, examples, set_random_weights, to_numpy

SHAPES = [(2, 5, 6, 2), (2, 5, 6, 2), (2, 5, 3, 4)]


def built(depth: int = 2, dropout_rate: float = 0.0) -> DifferentialProduct:
    layer = DifferentialProduct(depth, dropout_rate)
    layer.build(SHAPES[0])
    set_random_weights(layer, scale=0.5)
    return layer


def reference(
    layer: DifferentialProduct, query: np.ndarray, key: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Compute equations 1 to 3 head by head."""
    query_1, key_1, query_2, key_2, gamma = layer.get_weights()
    start = 0.8 - 0.6 * math.exp(-0.3 * layer.depth)
    factor = np.exp(query_1 @ key_1) - np.exp(query_2 @ key_2) + start
    heads = []
    for i in range(3):
        shares = []
        for j in (2 * i, 2 * i + 1):
            scores = query[:, :, j] @ key[:, :, j].swapaxes(1, 2) / math.sqrt(2)
            powers = np.exp(scores)
            shares.append(powers / powers.sum(axis=-1, keepdims=True))
        x = (shares[0] - factor * shares[1]) @ value[:, :, i]
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5) * gamma
        heads.append(x * (1 - start))
    return np.stack(heads, axis=2)


def test_differential_product_keeps_the_layer_contract():
    check_layer(partial(DifferentialProduct, 1, 0.1), SHAPES, SHAPES[2])


@pytest.mark.parametrize("depth", [0, 5])
@pytest.mark.parametrize("fused", [True, False])
def test_differential_product_equals_the_formula(depth, fused):
    # The fused form of JAX takes no values of another width.
    layer, inputs = built(depth), examples(SHAPES)
    layer.product._fused = fused
    np.testing.assert_allclose(
        to_numpy(layer(*inputs)), reference(layer, *inputs), atol=1e-4
    )


def test_lambda_starts_at_a_value_that_grows_with_depth():
    assert built(0)._lambda_start == pytest.approx(0.2)
    assert built(100)._lambda_start == pytest.approx(0.8)


def test_differential_product_drops_weights_in_training_only():
    layer, inputs = built(dropout_rate=0.5), examples(SHAPES)
    expected = reference(layer, *inputs)
    assert abs(to_numpy(layer(*inputs, training=True)) - expected).max() > 1e-2
    np.testing.assert_allclose(
        to_numpy(layer(*inputs, training=False)), expected, atol=1e-4
    )


def test_differential_product_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="dropout_rate=1.5. It is the share"):
        DifferentialProduct(0, 1.5)
