from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_vit.layers import AttentionPooling, AttentionScores
from keras_vit.layers.positions.rotation import rotation_table
from tests.contract import example, set_random_weights, to_numpy
from tests.layers.blocks import make_block

TOKENS = example((2, 5, 8))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (make_block, (None, 2, 5, 5)),
        (lambda: AttentionPooling(8, 2, 12), (None, 2, 1, 5)),
    ],
    ids=["block", "pooling"],
)
def test_the_layer_and_its_scores_are_in_one_model(make, shape):
    layer, inputs = make(), keras.Input((5, 8))
    plain = keras.Model(inputs, layer(inputs))
    set_random_weights(plain, scale=0.5)
    outputs, scores = AttentionScores(layer)(inputs)
    model = keras.Model(inputs, [outputs, scores])
    assert tuple(scores.shape) == shape
    assert {id(w) for w in model.weights} == {id(w) for w in plain.weights}
    found = [to_numpy(x) for x in model(TOKENS)]
    np.testing.assert_allclose(found[0], to_numpy(plain(TOKENS)), atol=1e-5)
    np.testing.assert_allclose(found[1].sum(axis=-1), 1, atol=1e-5)
    _, expected = layer(TOKENS, return_attention_scores=True)
    np.testing.assert_allclose(found[1], to_numpy(expected), atol=1e-6)


def test_a_rotation_is_passed_on():
    block = make_block({"rotary_layout": "half"})
    rotation = rotation_table(example((5, 1, 2)), "half")
    found = AttentionScores(block)(TOKENS, rotation=rotation)
    expected = block(TOKENS, rotation=rotation, return_attention_scores=True)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), atol=1e-6)
    plain = AttentionScores(block)(TOKENS)
    assert abs(to_numpy(plain[1]) - to_numpy(found[1])).max() > 1e-3


def test_a_saved_model_gives_the_same(tmp_path):
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, AttentionScores(make_block(), name="scores")(inputs))
    set_random_weights(model, scale=0.5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    config = model.get_layer("scores").get_config()
    assert again.get_layer("scores").get_config() == config
    for one, other in zip(again(TOKENS), model(TOKENS), strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
