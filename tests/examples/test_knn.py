"""Neighbours and heads of a few labelled pictures."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

import keras_vit
from tests.examples.scripts import run, script
from tests.one_backend import NO_BACKEND
from tests.pictures import write_folder
from tests.site.stand_ins import small_model

pytestmark = NO_BACKEND

knn = script("knn")


def test_the_classes_are_those_of_scikit_learn(rng):
    known, new = rng.normal(size=(60, 8)), rng.normal(size=(40, 8))
    labels = rng.integers(0, 4, 60)
    peer = KNeighborsClassifier(
        20,
        metric="cosine",
        algorithm="brute",
        weights=lambda distances: np.exp((1 - distances) / 0.07),
    )
    expected = peer.fit(known, labels).predict(new)
    np.testing.assert_array_equal(knn.nearest_classes(known, labels, new), expected)


def test_a_picture_is_its_own_nearest_neighbour(rng):
    known = rng.normal(size=(30, 8))
    labels = rng.permutation(30)
    found = knn.nearest_classes(known, labels, 3.0 * known, k=1)
    np.testing.assert_array_equal(found, labels)


def test_each_class_gives_as_many_pictures():
    labels = np.repeat([0, 1, 2], [50, 20, 90])
    places = knn.few_of_each_class(labels, 10, seed=0)
    assert len(set(places)) == 30
    assert list(np.bincount(labels[places])) == [10, 10, 10]
    assert set(places) != set(knn.few_of_each_class(labels, 10, seed=1))


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    folder = write_folder(tmp_path / "photos", count=72, classes=3)
    return keras_vit.load_data(folder, **knn.DATA)


def test_vectors_are_embeddings_and_the_head_is_the_one_that_evaluate_judges(data):
    backbone = small_model(None)
    new = knn.feature_reader(backbone, "float32").read(data.test)
    pictures = list(data.test.pictures())
    np.testing.assert_allclose(new, keras_vit.embed(backbone, pictures), atol=1e-4)
    found = knn.head_classes(backbone, data, new, "float32")
    accuracy = np.mean(found == data.test.labels)
    how = {"features": "pooled", "dtype": "float32", "verbose": False}
    model = keras_vit.fit_head(backbone, replace(data), **how)
    assert accuracy == pytest.approx(keras_vit.evaluate(model, data).accuracy)


def test_the_example_runs(data, monkeypatch, capsys, tmp_path):
    keras_vit.save(small_model(3), tmp_path / "weights.keras")
    weights = ("--weights", tmp_path / "weights.keras")
    few = ("--counts", 0, 1, 2, 5, "--draws", 2)
    run(monkeypatch, "knn", "--data", tmp_path / "photos", *weights, *few)
    printed = capsys.readouterr().out
    assert "24 test pictures, 3 classes" in printed
    interval = r"[01]\.\d{3} \([01]\.\d{3} to [01]\.\d{3}\)"
    rows = re.findall(rf"^ +(\w+)   {interval} +(-|{interval})$", printed, re.MULTILINE)
    assert [name for name, _ in rows] == ["1", "2", "5", "all"]
    assert [head == "-" for _, head in rows] == [True, False, False, False]
