"""Files of models for several labels: what they say, and how they are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting.answers import limits_of
from keras_vit.exporting.litert.float_file import differences
from keras_vit.exporting.verification import compare
from keras_vit.exporting.verification_pictures import Shown
from keras_vit.metadata import read_metadata
from tests.exporting.litert.test_tflite_metadata import PICTURES, classify
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

NAMES = ("ant", "bee", "cat", "dog")
THRESHOLDS = (0.35, 0.5, 0.6, 0.45)


@pytest.fixture(scope="module")
def model() -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=4,
        class_names=NAMES,
        preprocessing=Preprocessing(image_size=32, mean=0.4, std=0.2),
    )
    rng = np.random.default_rng(2)
    for weight in model.weights:
        scale = 0.02 if weight.path.endswith(("token", "table")) else 0.4
        weight.assign(scale * rng.normal(size=weight.shape))
    model.thresholds = THRESHOLDS
    return model


@pytest.fixture(scope="module")
def data() -> keras_vit.ImageData:
    labels = np.random.default_rng(1).integers(0, 2, (len(PICTURES), 4))
    labels[0], labels[1] = 1, 0
    return keras_vit.load_data(
        (PICTURES, labels), class_names=NAMES, multi_label=True, validation_fraction=0
    )


def answers(model) -> list[dict[str, float]]:
    found = keras_vit.predict(model, PICTURES)
    return [{one.class_name: one.probability for one in each} for each in found]


def test_a_file_carries_the_thresholds_and_is_judged_by_precision(
    model, data, tmp_path
):
    path = tmp_path / "model.tflite"
    report = keras_vit.export(model, path, evaluation=data, report=False)
    output = read_metadata(path)["output"]
    assert output["activation"] is None and output["thresholds"] == list(THRESHOLDS)
    for one, other in zip(answers(path), answers(model), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert report.measure == "mean average precision"
    expected = keras_vit.evaluate(model, data).labels.mean_average_precision
    assert report.accuracy == pytest.approx(expected, abs=1e-6)
    assert report.model_accuracy == pytest.approx(expected, abs=1e-6)
    page = report.texts()[1]
    assert "mean average precision of the file" in page and "equal answers" in page
    assert "each class a yes or no, from 0.35 to 0.6 on" in page
    assert keras_vit.evaluate(path, data).labels.classes[0].threshold == 0.35


def test_mediapipe_shows_nothing_below_the_lowest_threshold(model, tmp_path):
    path = tmp_path / "model.tflite"
    keras_vit.export(model, path, profile="mobile", images=PICTURES, report=False)
    assert read_metadata(path)["output"]["activation"] == "sigmoid"
    every = keras_vit.predict(model, PICTURES, top=4)
    for one, other in zip(classify(path, PICTURES), every, strict=True):
        expected = {
            str(p.class_name): p.probability for p in other if p.probability >= 0.35
        }
        assert one == pytest.approx(expected, abs=1e-3)


def test_a_saved_model_names_all_that_is_there(model, tmp_path):
    import tensorflow as tf

    folder = tmp_path / "saved"
    keras_vit.export(
        model, folder, format="saved_model", batch=None, images=PICTURES, report=False
    )
    serve = tf.saved_model.load(str(folder)).signatures["serving_bytes"]
    files = [tf.io.encode_png(picture).numpy() for picture in PICTURES]
    found = serve(tf.constant(files))
    expected = [[n for n in NAMES if n in each] for each in answers(model)]
    names = [x.decode() for x in found["class_name"].numpy()]
    assert names == ["|".join(each) for each in expected]
    assert found["probabilities"].numpy().sum(axis=1).max() > 1.01


def test_labels_of_a_model_that_chooses_one_class_are_refused(model, data, tmp_path):
    one = keras_vit.changed(model, thresholds=None)
    with pytest.raises(ValueError, match="chooses one class per image"):
        keras_vit.export(one, tmp_path / "x.tflite", evaluation=data)
    assert not list(Path(tmp_path).iterdir())


def test_answers_are_compared_at_their_thresholds():
    expected = np.array([[0.2, 0.7], [0.4, 0.1], [0.9, 0.8]])
    actual = np.array([[0.2, 0.7], [0.3, 0.1], [0.9, 0.2]])
    labels = np.array([[0, 1], [1, 0], [1, 1]])
    shown = Shown(source="evaluation", pictures=[0, 1, 2], labels=labels)
    output = {"name": "probabilities", "thresholds": [0.35, 0.5]}
    limits = limits_of(output)
    found = compare(expected, actual, shown, "float32", "probabilities", limits)
    assert differences(expected, actual, limits)["top1_agreement"] == 4 / 6
    assert found.top1_agreement == pytest.approx(4 / 6)
    assert found.accuracy == average_precision_score(labels, actual)
    logits = [np.log(x / (1 - x)) for x in (expected, actual)]
    limits = limits_of({**output, "name": "logits"})
    same = compare(*logits, shown, "float32", "logits", limits)
    assert same.top1_agreement == found.top1_agreement


@pytest.mark.parametrize("threshold", [0.2, 0.7])
def test_a_single_output_has_its_own_threshold(threshold, model, tmp_path):
    single = keras_vit.changed(model, num_classes=1, class_names=["no", "yes"])
    single.get_layer("head").logits.kernel.assign(
        np.random.default_rng(0).normal(size=(single.config.hidden_dim, 1))
    )
    single.thresholds = (threshold,)
    path = tmp_path / "single.tflite"
    keras_vit.export(single, path, images=PICTURES, report=False)
    assert read_metadata(path)["output"]["threshold"] == threshold
    first = [each[0].class_name for each in keras_vit.predict(path, PICTURES)]
    probabilities = [each[0].probability for each in keras_vit.predict(path, PICTURES)]
    assert first == [each[0].class_name for each in keras_vit.predict(single, PICTURES)]
    for name, value in zip(first, probabilities, strict=True):
        yes = value if name == "yes" else 1 - value
        assert (yes >= threshold) == (name == "yes")
