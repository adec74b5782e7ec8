from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import PatchEncoder
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize(
    ("options", "num_tokens"),
    [({}, 5), ({"use_class_token": False, "dropout_rate": 0.1}, 4)],
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
