"""What goes with the weights of a model, through all that copies and saves it."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.keras_file import load_keras, save_keras

THRESHOLDS = (0.25, 0.5, 0.75)


def make(**options):
    return keras_vit.ViT.from_variant("test", **{"num_classes": 3, **options})


def test_thresholds_stay_with_the_weights(tmp_path):
    model = make(class_names=["a", "b", "c"])
    assert model.thresholds is None and "thresholds" not in model.get_config()
    model.thresholds = np.array(THRESHOLDS)
    model.save(tmp_path / "plain.keras")
    save_keras(model, tmp_path / "own.keras")
    copies = [
        keras.saving.load_model(tmp_path / "plain.keras"),
        load_keras(tmp_path / "own.keras"),
        keras_vit.changed(model, dropout_rate=0.1),
        keras_vit.resize(model, image_size=48),
    ]
    for copy in copies:
        assert copy.thresholds == THRESHOLDS
        assert copy.class_names == ("a", "b", "c")
    assert keras_vit.replace_head(model, 3).thresholds is None  # Of other classes.
    assert keras_vit.changed(model, num_classes=4).thresholds is None
    assert keras_vit.changed(model, thresholds=None).thresholds is None


def test_any_model_has_its_facts_in_its_file(tmp_path):
    images = keras.Input((8, 8, 3))
    plain = keras.Model(images, keras.layers.Flatten()(images))
    plain.thresholds = THRESHOLDS
    save_keras(plain, tmp_path / "model.keras")
    assert load_keras(tmp_path / "model.keras").thresholds == THRESHOLDS
    assert keras_vit.changed(plain).thresholds == THRESHOLDS


def test_a_mean_of_models_has_their_mean_thresholds():
    first, second = make(), make()
    first.thresholds, second.thresholds = (0.1, 0.2, 0.3), (0.3, 0.4, 0.5)
    found = keras_vit.average([first, second]).thresholds
    np.testing.assert_allclose(found, (0.2, 0.3, 0.4))


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.5, 0.5, 1.5), (0.1, 0.2, np.nan)])
def test_thresholds_that_are_none_are_refused(values):
    with pytest.raises(ValueError, match="a probability, from 0 to 1, for each of 3"):
        make().thresholds = values
