"""What the first weights have learned, and how far heads look."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

import keras_vit
from tests.contract import to_numpy
from tests.explaining.test_explain import scores, vit


def test_attention_distance_is_the_mean_of_pixels_between_patches(rng):
    model = vit(num_registers=1, image_size=(24, 32))
    pictures = rng.integers(0, 256, (3, 24, 32, 3), dtype="uint8")
    found = keras_vit.attention_distance(model, pictures, batch_size=2)
    places = np.array(
        [(8 * row, 8 * column) for row in range(3) for column in range(4)]
    )
    expected = np.zeros((2, 2))
    for picture in pictures:
        weights = scores(model, model.preprocessing(picture)[None])
        for block in range(2):
            for head in range(2):
                read = weights[f"block_{block}"][0, head, 2:, 2:]
                total = sum(
                    read[i, j] * np.hypot(*(places[i] - places[j]))
                    for i in range(12)
                    for j in range(12)
                )
                expected[block, head] += total / read.sum() / 3
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)
    assert found.num_images == 3 and "2 heads in each of 2 blocks" in found.alt_text
    assert found.image().size == (640, 400)


def test_positions_are_compared_by_their_cosine(tmp_path):
    model = vit(image_size=(24, 32), num_registers=2, use_class_token=True)
    table = to_numpy(model.get_layer("patch_encoder").position_embedding.table)[0]
    found = keras_vit.position_similarity(model)
    np.testing.assert_allclose(
        found.values.reshape(12, 12), cosine_similarity(table[-12:]), atol=1e-5
    )
    path = found.save(tmp_path / "positions.png")
    with Image.open(path) as drawn:
        assert drawn.width > 100


def test_fixed_positions_are_those_that_are_added():
    model = vit(positions="sincos", use_class_token=True)
    zeros = np.zeros((1, 17, 32), "float32")
    added = to_numpy(model.get_layer("patch_encoder").position_embedding(zeros))[0, 1:]
    found = keras_vit.position_similarity(model)
    np.testing.assert_allclose(
        found.values.reshape(16, 16), cosine_similarity(added), atol=1e-5
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_the_components_of_the_patch_embedding(channels):
    model = vit(channels=channels)
    kernel = to_numpy(model.get_layer("patch_encoder").projection.kernel)
    found = keras_vit.patch_filters(model, count=9)
    pca = PCA(9).fit(kernel.T.astype("float64"))
    products = (found.values.reshape(9, -1) * pca.components_).sum(axis=1)
    np.testing.assert_allclose(np.abs(products), 1, atol=1e-4)
    np.testing.assert_allclose(found.shares, pca.explained_variance_ratio_, rtol=1e-4)
    assert found.values.shape == (9, 8, 8, channels)
    assert found.image().size == (4 + 7 * 52, 4 + 2 * 52)


def test_what_a_model_has_not_is_refused():
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    message = "is for a keras_vit.ViT, received Sequential"
    for function in (keras_vit.position_similarity, keras_vit.patch_filters):
        with pytest.raises(TypeError, match=message):
            function(other)
    with pytest.raises(ValueError, match="rotates queries and keys instead"):
        keras_vit.position_similarity(vit(positions=None, rotary="axial"))
    with pytest.raises(ValueError, match="image_size=None. Choose one"):
        keras_vit.position_similarity(vit(positions="sincos", image_size=None))
    with pytest.raises(ValueError, match="count must be from 1 to 32"):
        keras_vit.patch_filters(vit(), count=33)
    with pytest.raises(ValueError, match="may be below 0"):
        keras_vit.attention_distance(vit(attention="differential"), [])
    with pytest.raises(ValueError, match="at least 1"):
        keras_vit.attention_distance(vit(), [])
