"""Accuracy on labelled images."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.data.digits import load_digits


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
    assert result["part"] == "test" and result["num_images"] == len(data.test)
    for name in ("accuracy", "loss", "top5_accuracy"):
        assert result[name] == pytest.approx(expected[name], rel=1e-4)


def test_the_part_can_be_chosen(model, data):
    result = keras_vit.evaluate(model, data, part="train")
    assert result["num_images"] == len(data.train)


def test_constant_outputs_count_as_the_first_class(data):
    model = keras_vit.ViT.from_variant(
        "digits", preprocessing=Preprocessing(image_size=16, channels=1)
    )
    result = keras_vit.evaluate(model, data)
    assert result["accuracy"] == pytest.approx(np.mean(data.test.labels == 0))


def test_other_classes_are_refused(data):
    model = keras_vit.ViT.from_variant(
        "digits",
        class_names=list("abcdefghij"),
        preprocessing=Preprocessing(image_size=16, channels=1),
    )
    with pytest.raises(ValueError, match="same classes in the same order"):
        keras_vit.evaluate(model, data)


def test_another_number_of_classes_is_refused(data):
    model = keras_vit.ViT.from_variant(
        "digits", num_classes=4, preprocessing=Preprocessing(image_size=16, channels=1)
    )
    with pytest.raises(ValueError, match="one output per class"):
        keras_vit.evaluate(model, data)
