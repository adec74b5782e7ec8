from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import PatchEncoder
from tests.contract import check_layer, example, set_random_weights, to_numpy


def built(**options: Any) -> PatchEncoder:
    layer = PatchEncoder(8, **options)
    layer.build((None, 4, 12))
    set_random_weights(layer)
    return layer


@pytest.mark.parametrize(
    ("options", "num_tokens"),
    [
        ({}, 5),
        ({"use_class_token": False, "dropout_rate": 0.1}, 4),
        ({"use_distillation_token": True, "num_registers": 2}, 8),
        ({"num_registers": 2, "positions": "class", "use_bias": False}, 7),
        ({"positions": "patches", "normalization": "rms", "epsilon": 1e-5}, 5),
        ({"positions": "sincos_open", "grid_size": (2, 2)}, 5),
        ({"positions": None, "num_registers": 1, "normalization": "layer"}, 6),
    ],
    ids=str,
)
def test_patch_encoder_keeps_the_layer_contract(options, num_tokens):
    check_layer(partial(PatchEncoder, 8, **options), (2, 4, 12), (2, num_tokens, 8))


def test_patch_encoder_computes_equation_1():
    layer = PatchEncoder(8)
    layer.build((None, 4, 12))
    set_random_weights(layer)
    patches = example((2, 4, 12))
    kernel, bias, token, table = layer.get_weights()
    token = np.broadcast_to(token, (2, 1, 8))
    expected = np.concatenate([token, patches @ kernel + bias], axis=1) + table
    np.testing.assert_allclose(to_numpy(layer(patches)), expected, atol=1e-5)


def test_patch_encoder_without_class_token_has_one_position_per_patch():
    layer = PatchEncoder(8, use_class_token=False)
    layer.build((None, 4, 12))
    assert [tuple(w.shape) for w in layer.weights] == [(12, 8), (8,), (1, 4, 8)]


def test_projection_kernel_starts_lecun_normal():
    layer = PatchEncoder(100)
    layer.build((None, 4, 400))
    kernel = to_numpy(layer.projection.kernel)
    np.testing.assert_allclose(
        [kernel.mean(), kernel.std()], [0, 400**-0.5], atol=0.02 * 400**-0.5
    )


def test_projection_bias_starts_at_zero():
    layer = PatchEncoder(8)
    layer.build((None, 4, 12))
    assert not to_numpy(layer.projection.bias).any()


def test_patch_encoder_drops_in_training():
    layer = PatchEncoder(8, dropout_rate=0.5)
    tokens = to_numpy(layer(example((8, 4, 12)), training=True))
    assert 0.3 < (tokens == 0).mean() < 0.7


def test_patch_encoder_drops_nothing_at_inference():
    layer, same = PatchEncoder(8, dropout_rate=0.5), PatchEncoder(8)
    patches = example((2, 4, 12))
    layer.build(patches.shape)
    same.build(patches.shape)
    same.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        to_numpy(layer(patches, training=False)), to_numpy(same(patches))
    )


def test_patch_encoder_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match=r"P \* P \* C.*Reshape the inputs to rank 3"):
        PatchEncoder(8).build((None, 8))


def test_tokens_stand_in_the_order_class_distillation_registers_patches():
    layer = built(use_distillation_token=True, num_registers=2, positions=None)
    patches = example((2, 4, 12))
    kernel, bias = layer.projection.get_weights()
    prefix = [layer.class_token.token, layer.distillation_token.token]
    prefix = np.concatenate(
        [*map(to_numpy, prefix), to_numpy(layer.registers.tokens)], 1
    )
    expected = [np.repeat(prefix, 2, axis=0), patches @ kernel + bias]
    np.testing.assert_allclose(
        to_numpy(layer(patches)), np.concatenate(expected, axis=1), atol=1e-5
    )


@pytest.mark.parametrize(
    ("positions", "rows"), [("all", 4), ("class", 2), ("patches", 0)]
)
def test_positions_cover_the_tokens_that_they_are_named_after(positions, rows):
    options = {"use_distillation_token": True, "num_registers": 2}
    layer, same = (
        built(positions=positions, **options),
        built(positions=None, **options),
    )
    weights = {w.path.split("/", 1)[1]: w for w in layer.weights}
    table = to_numpy(weights.pop("position_embedding/table"))[0]
    same.set_weights([to_numpy(w) for w in weights.values()])
    patches = example((2, 4, 12))
    expected = to_numpy(same(patches)).copy()
    expected[:, :rows] += table[:rows]
    expected[:, 4:] += table[rows:]
    np.testing.assert_allclose(to_numpy(layer(patches)), expected, atol=1e-5)


def test_computed_positions_have_no_weights():
    layer = built(positions="sincos", grid_size=(2, 2))
    assert not [w for w in layer.weights if "position" in w.path]


def test_patches_are_normalized_before_the_tokens_and_positions_come():
    layer = built(normalization="rms", positions=None, use_class_token=False)
    patches = example((2, 4, 12))
    kernel, bias = layer.projection.get_weights()
    x = patches @ kernel + bias
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
    expected = x * to_numpy(layer.norm.gamma)
    np.testing.assert_allclose(to_numpy(layer(patches)), expected, atol=1e-5)


def test_patch_encoder_rejects_unknown_positions():
    with pytest.raises(ValueError, match="'sincos_open' and None, received positions="):
        PatchEncoder(8, positions="rotary")


def test_patch_encoder_rejects_computed_positions_without_a_grid():
    with pytest.raises(ValueError, match="need grid_size, the number of patches"):
        PatchEncoder(8, positions="sincos")
