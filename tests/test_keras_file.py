"""Preprocessing and class names of models that are no ViT."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.keras_file import load_keras, save_keras
from keras_vit.model_preprocessing import preprocessing_of
from tests.pictures import write_folder

PREPROCESSING = Preprocessing(image_size=32, mean=0.3, std=0.2, crop_ratio=0.9)


def backbone() -> keras_vit.ViT:
    return keras_vit.ViT.from_variant(
        "test", num_classes=None, preprocessing=PREPROCESSING
    )


def sequential() -> keras.Model:
    return keras.Sequential([backbone(), keras.layers.Dense(4)])


def with_input() -> keras.Model:
    layers = [keras.Input((32, 32, 3)), backbone(), keras.layers.Dense(4)]
    return keras.Sequential(layers)


def functional() -> keras.Model:
    images = keras.Input((32, 32, 3))
    x = keras.layers.Dropout(0.1)(backbone()(images))
    return keras.Model(images, keras.layers.Dense(4)(x))


def nested() -> keras.Model:
    images = keras.Input((32, 32, 3))
    return keras.Model(images, functional()(images))


AROUND = [sequential, with_input, functional, nested]


@pytest.mark.parametrize("make", AROUND)
def test_a_model_around_a_vit_is_trained_and_used_by_its_file(make, tmp_path):
    data = keras_vit.load_data(write_folder(tmp_path / "photos"))
    recipe = keras_vit.Recipe(epochs=1, warmup_epochs=0, batch_size=16)
    model = make()
    output = tmp_path / "run"
    keras_vit.train(model, data, recipe, output=output, verbose=0)
    loaded = load_keras(output / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.preprocessing == PREPROCESSING
    assert tuple(loaded.class_names) == data.class_names
    picture = next(data.train.pictures())
    [[best, *_]] = keras_vit.predict(output, [picture])
    assert best.class_name.startswith("digit_")
    outputs = model(PREPROCESSING(picture)[None])
    expected = np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(outputs)))[0]
    assert best.probability == pytest.approx(expected.max(), rel=1e-4)
    assert keras_vit.evaluate(output, data).num_images == len(data.validation)


@pytest.mark.parametrize("make", AROUND)
def test_a_model_in_memory_predicts_with_the_preprocessing_inside(make):
    assert preprocessing_of(make()) == PREPROCESSING
    assert len(keras_vit.predict(make(), [np.zeros((40, 50, 3))], top=2)[0]) == 2


def test_what_stands_before_a_vit_has_to_say_the_preprocessing(tmp_path):
    layers = [keras.layers.Rescaling(1 / 255), backbone(), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    model.build((None, 32, 32, 3))
    with pytest.raises(ValueError, match=r"Set model\.preprocessing = "):
        keras_vit.predict(model, [np.zeros((40, 50, 3))])
    model.preprocessing = Preprocessing(image_size=32, mean=0.0, std=1.0)
    assert len(keras_vit.predict(model, [np.zeros((40, 50, 3))])) == 1


def test_a_compiled_model_keeps_what_it_says(tmp_path):
    model = functional()
    model.compile("sgd", "mse")
    model.preprocessing, model.class_names = PREPROCESSING, tuple("abcd")
    save_keras(model, tmp_path / "model.keras")
    loaded = load_keras(tmp_path / "model.keras")
    assert loaded.preprocessing == PREPROCESSING
    assert tuple(loaded.class_names) == tuple("abcd")
    assert keras.models.load_model(tmp_path / "model.keras").output_shape == (None, 4)


def test_a_zip_whose_last_record_is_damaged_is_named(tmp_path):
    path = tmp_path / "bad.keras"
    save_keras(functional(), path)
    data = path.read_bytes()
    locator = b"PK\x06\x07" + bytes(4) + bytes(8) + b"\x09\0\0\0"
    end = data.rindex(b"PK\x05\x06")
    path.write_bytes(data[:end] + locator + data[end:])
    with pytest.raises(ValueError, match=r"bad\.keras' could not be loaded"):
        load_keras(path)
