"""Class tokens of several blocks, as DINOv2's linear classifiers read them."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.layers import EarlierTokens
from tests.contract import set_random_weights


@pytest.mark.parametrize("pooling", ["token", "token_mean"])
def test_a_head_sees_the_normalized_class_tokens_of_the_last_blocks(pooling, rng):
    model = keras_vit.ViT.from_variant("test", num_layers=3, num_classes=None)
    set_random_weights(model)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    found = keras_vit.changed(model, pooling=pooling, num_pooled_blocks=2)(images)
    blocks = keras_vit.features(model, [1, 2], as_grid=False)(images)
    second, last = (
        keras.ops.convert_to_numpy(blocks[name]) for name in ("block_1", "block_2")
    )
    expected = [second[:, 0], last[:, 0], last[:, 1:].mean(axis=1)]
    expected = np.concatenate(expected[: 3 if pooling == "token_mean" else 2], axis=1)
    found = keras.ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_another_number_of_blocks_begins_a_new_classifier():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    set_random_weights(model)
    wide = keras_vit.changed(model, num_pooled_blocks=2)
    assert wide.get_layer("head").logits.kernel.shape[0] == 2 * 32
    assert not np.any(keras.ops.convert_to_numpy(wide.get_layer("head").logits.kernel))
    assert keras_vit.changed(wide, pooling="mean").config.num_pooled_blocks == 1


def test_one_block_alone_is_refused():
    with pytest.raises(ValueError, match="at least two blocks as a list"):
        EarlierTokens()(keras.ops.zeros((2, 5, 8)))
