from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

from keras_vit.layers import (
    GridPositionEmbedding,
    LayerNormalization,
    PatchEncoder,
    PositionEmbedding,
    RMSNormalization,
    SinCosPositionEmbedding,
)
from tests.contract import check_layer, example, set_random_weights, to_numpy

# Positions of four patches.
OF_CLASS = partial(GridPositionEmbedding, (2, 2), 3, 1)
OF_PATCHES = partial(GridPositionEmbedding, (2, 2), 1)
SINCOS = partial(SinCosPositionEmbedding, (2, 2), num_prefix_tokens=1)


def make(positions: Any = PositionEmbedding, **options: Any) -> PatchEncoder:
    """Return a layer of width 8 with new positions."""
    positions = positions(dtype=options.get("dtype"), name="position_embedding")
    return PatchEncoder(8, position_embedding=positions, **options)


def built(**options: Any) -> PatchEncoder:
    layer = make(**options)
    layer.build((None, 4, 12))
    set_random_weights(layer)
    return layer


@pytest.mark.parametrize(
    ("options", "num_tokens"),
    [
        ({}, 5),
        ({"use_class_token": False, "dropout_rate": 0.1}, 4),
        ({"use_distillation_token": True, "num_registers": 2}, 8),
        ({"num_registers": 2, "positions": OF_CLASS, "use_bias": False}, 7),
        ({"positions": OF_PATCHES, "norm": RMSNormalization(1e-5)}, 5),
        ({"positions": SINCOS}, 5),
        (
            {
                "positions": keras.layers.Identity,
                "num_registers": 1,
                "norm": LayerNormalization(),
            },
            6,
        ),
    ],
)
def test_patch_encoder_keeps_the_layer_contract(options, num_tokens):
    check_layer(partial(make, **options), (2, 4, 12), (2, num_tokens, 8))


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
    layer = built(
        use_distillation_token=True, num_registers=2, positions=keras.layers.Identity
    )
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


@pytest.mark.parametrize("rows", [4, 2, 0])
def test_positions_cover_the_tokens_that_they_are_made_for(rows):
    options = {"use_distillation_token": True, "num_registers": 2}
    positions = partial(GridPositionEmbedding, (2, 2), 4, rows)
    layer = built(positions=positions, **options)
    same = built(positions=keras.layers.Identity, **options)
    weights = {w.path.split("/", 1)[1]: w for w in layer.weights}
    table = to_numpy(weights.pop("position_embedding/table"))[0]
    same.set_weights([to_numpy(w) for w in weights.values()])
    patches = example((2, 4, 12))
    expected = to_numpy(same(patches)).copy()
    expected[:, :rows] += table[:rows]
    expected[:, 4:] += table[rows:]
    np.testing.assert_allclose(to_numpy(layer(patches)), expected, atol=1e-5)


def test_computed_positions_have_no_weights():
    layer = built(positions=SINCOS)
    assert not [w for w in layer.weights if "position" in w.path]


def test_patches_are_normalized_before_the_tokens_and_positions_come():
    layer = built(
        norm=RMSNormalization(0.1),
        positions=keras.layers.Identity,
        use_class_token=False,
    )
    patches = example((2, 4, 12))
    kernel, bias = layer.projection.get_weights()
    x = patches @ kernel + bias
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 0.1)
    expected = x * to_numpy(layer.norm.gamma)
    np.testing.assert_allclose(to_numpy(layer(patches)), expected, atol=1e-5)


def test_positions_are_the_papers_unless_others_are_handed_over():
    positions = OF_PATCHES()
    assert type(PatchEncoder(8).position_embedding) is PositionEmbedding
    layer = PatchEncoder(8, position_embedding=positions)
    assert layer.position_embedding is positions


def test_positions_see_the_size_of_the_images():
    positions = SinCosPositionEmbedding(patch_size=(2, 2), num_prefix_tokens=1)
    layer = PatchEncoder(8, position_embedding=positions)
    fixed = PatchEncoder(8, position_embedding=SINCOS())
    patches, images = example((2, 4, 12)), example((2, 4, 5, 3))
    layer(patches, images=images)
    fixed.build(patches.shape)
    fixed.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        to_numpy(layer(patches, images=images)), to_numpy(fixed(patches)), atol=1e-6
    )
