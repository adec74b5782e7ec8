"""The nearest pictures against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import keras_vit
from tests.explaining.test_explain import vit
from tests.one_backend import NO_BACKEND

pytestmark = NO_BACKEND

PIXELS = np.random.default_rng(5).integers(0, 256, (9, 32, 32, 3), dtype="uint8")


def test_the_nearest_are_those_of_scikit_learn(tmp_path):
    for number, picture in enumerate(PIXELS[:8]):
        folder = tmp_path / "data" / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")
    data = keras_vit.load_data(tmp_path / "data", validation_fraction=0)
    model = vit(num_classes=2)
    options = {"count": 3, "cache": tmp_path / "cache", "verbose": False}
    found = keras_vit.nearest_pictures(model, PIXELS[6:], data, **options)
    # A folder is read class by class.
    kept = PIXELS[[0, 2, 4, 6, 1, 3, 5, 7]]
    vectors = keras_vit.embed(model, kept)
    search = NearestNeighbors(n_neighbors=3, metric="cosine").fit(vectors)
    distances, numbers = search.kneighbors(keras_vit.embed(model, PIXELS[6:]))
    for one, far, places in zip(found, distances, numbers, strict=True):
        assert one.numbers.tolist() == places.tolist()
        np.testing.assert_allclose(one.similarities, 1 - far, atol=1e-5)
        names = ["odd" if place > 3 else "even" for place in places]
        assert list(one.class_names) == names
        np.testing.assert_array_equal(one.pictures[1], kept[places[1]])
    assert found[0].similarities[0] == pytest.approx(1, abs=1e-5)
    assert f"{found[0].class_names[0]} 1.00" in found[0].alt_text
    assert found[0].image().size == (4 * 168 + 8, 200)
    # Kept features give the same.
    [again] = keras_vit.nearest_pictures(model, PIXELS[6:7], data, **options)
    assert again.numbers.tolist() == found[0].numbers.tolist()


def test_pictures_with_several_classes_name_all_of_them():
    labels = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], "float32")
    data = keras_vit.load_data(
        (PIXELS[:3], labels), multi_label=True, validation_fraction=0
    )
    [one] = keras_vit.nearest_pictures(
        vit(), PIXELS[:1], data, count=3, cache=None, verbose=False
    )
    names = dict(zip(one.numbers.tolist(), one.class_names, strict=True))
    assert names == {0: "0, 1", 1: "2", 2: ""}
    assert "no class" in one.alt_text


def test_what_is_not_there_is_refused():
    data = keras_vit.load_data((PIXELS, np.arange(9) % 3), validation_fraction=0)
    with pytest.raises(ValueError, match="count must be from 1 to 9"):
        keras_vit.nearest_pictures(vit(), PIXELS[:1], data, count=10)
    with pytest.raises(ValueError, match="received 'test'"):
        keras_vit.nearest_pictures(vit(), PIXELS[:1], data, part="test")
    with pytest.raises(ValueError, match="pooling=None"):
        model = vit(pooling=None, num_classes=None)
        keras_vit.nearest_pictures(model, PIXELS[:1], data)
