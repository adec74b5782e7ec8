"""Accuracy on labelled images."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.data.sources.digits import load_digits
from tests.pictures import write_folder
from tests.test_calibration_error import from_the_paper


@pytest.fixture(scope="module")
def data():
    images, labels = load_digits()
    return keras_vit.load_data((images[:130], labels[:130]), test_fraction=0.5)


@pytest.fixture(scope="module")
def model():
    model = keras_vit.ViT.from_variant(
        "digits", preprocessing=Preprocessing(image_size=16, channels=1)
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def test_results_are_those_of_keras(model, data):
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            "accuracy",
            keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5_accuracy"),
        ],
    )
    batches = data.test.batches(model.preprocessing, 16)
    expected = model.evaluate(batches, verbose=0, return_dict=True)
    result = keras_vit.evaluate(model, data, batch_size=16)
    assert result.part == "test" and result.num_images == len(data.test)
    for name in ("accuracy", "loss", "top5_accuracy"):
        assert getattr(result, name) == pytest.approx(expected[name], rel=1e-4)
    found = keras_vit.predict(model, [*data.test.pictures()], top=1)
    confidences = [one.probability for [one] in found]
    rights = np.array([one.index for [one] in found]) == data.test.labels
    error = from_the_paper(confidences, rights)
    assert result.calibration_error == pytest.approx(error, abs=1e-4)
    assert f"calibration error {error:.4f}" in result.text()


def test_a_result_is_told_in_one_line_and_in_json(model, data):
    result = keras_vit.evaluate(model, data)
    assert result.text().endswith(f"on {len(data.test)} test images")
    assert "top-5" in result.text() and result.as_json()["part"] == "test"
    few = replace(result, top5_accuracy=None)
    assert "top-5" not in few.text() and "top5_accuracy" not in few.as_json()


def test_the_part_can_be_chosen(model, data):
    result = keras_vit.evaluate(model, data, part="train")
    assert result.num_images == len(data.train)


def test_constant_outputs_count_as_the_first_class(data):
    model = keras_vit.ViT.from_variant(
        "digits", preprocessing=Preprocessing(image_size=16, channels=1)
    )
    result = keras_vit.evaluate(model, data)
    assert result.accuracy == pytest.approx(np.mean(data.test.labels == 0))


def test_other_classes_are_refused(data):
    model = keras_vit.ViT.from_variant(
        "digits",
        class_names=list("abcdefghij"),
        preprocessing=Preprocessing(image_size=16, channels=1),
    )
    with pytest.raises(ValueError, match=r"must be classes of the model, .*'0', '1'"):
        keras_vit.evaluate(model, data)


@pytest.mark.parametrize("kept", [[3, 7, 8], [9, 0], [4], list(range(10))[::-1]])
def test_classes_are_matched_by_name(model, data, kept, tmp_path):
    names = [f"digit_{number}" for number in range(10)]
    named = keras_vit.ViT.from_variant(
        "digits", class_names=names, preprocessing=model.preprocessing
    )
    named.set_weights(model.get_weights())
    pixels, labels = load_digits()
    whole = keras_vit.load_data(
        (pixels, labels), class_names=names, validation_fraction=0
    )
    chosen = np.isin(labels, kept)
    some = keras_vit.load_data(
        (pixels[chosen], [names[label] for label in labels[chosen]]),
        class_names=[names[label] for label in kept],
        validation_fraction=0,
    )
    result = keras_vit.evaluate(named, some)
    found = keras_vit.predict(named, list(pixels[chosen]), top=1)
    hits = [p.index == label for [p], label in zip(found, labels[chosen], strict=True)]
    assert result.accuracy == pytest.approx(np.mean(hits))
    without = tuple(name for i, name in enumerate(names) if i not in kept)
    assert result.classes_without_images == without
    assert ("no image of" in result.text()) == bool(without)
    if not without:
        assert result.loss == pytest.approx(keras_vit.evaluate(named, whole).loss)
        assert "classes_without_images" not in result.as_json()


def test_a_folder_of_one_class_is_evaluated(tmp_path):
    write_folder(tmp_path, 20, classes=2)
    (tmp_path / "digit_0").rename(tmp_path.with_name("elsewhere"))
    model = keras_vit.ViT.from_variant(
        "digits",
        num_classes=2,
        class_names=["digit_0", "digit_1"],
        preprocessing=Preprocessing(image_size=16, channels=1),
    )
    data = keras_vit.load_data(tmp_path, validation_fraction=0)
    result = keras_vit.evaluate(model, data)
    assert result.num_images == 10 and result.accuracy == 0  # A tie: the first class.
    assert result.text().endswith("; no image of 1 classes: digit_0")


def test_another_number_of_classes_is_refused(data):
    model = keras_vit.ViT.from_variant(
        "digits", num_classes=4, preprocessing=Preprocessing(image_size=16, channels=1)
    )
    with pytest.raises(ValueError, match="one output per class"):
        keras_vit.evaluate(model, data)
