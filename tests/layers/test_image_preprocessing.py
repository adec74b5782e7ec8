"""Preprocessing in the graph."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from keras_vit import Preprocessing
from keras_vit.layers.image_preprocessing import ImagePreprocessing

PHOTOS = load_sample_images().images


def in_graph(preprocessing: Preprocessing) -> ImagePreprocessing:
    return ImagePreprocessing(
        preprocessing.image_size,
        resize=preprocessing.resize,
        crop_ratio=preprocessing.crop_ratio,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("size", [(64, 64), (48, 81), (500, 700)])
def test_the_graph_is_within_one_step_of_pillow(interpolation, resize, size):
    preprocessing = Preprocessing(
        image_size=size, resize=resize, interpolation=interpolation, crop_ratio=0.9
    )
    for photo in (PHOTOS[0], PHOTOS[1][:301, 7:]):
        expected = preprocessing.denormalize(preprocessing(photo))
        result = in_graph(preprocessing)(photo[None])[0]
        result = preprocessing.denormalize(keras.ops.convert_to_numpy(result))
        assert np.abs(result - expected).max() < 1.01
        assert np.abs(result - expected).mean() < 0.02


def test_nearest_takes_whole_pixels():
    # Pillow adds up steps in floating point: a centre between two pixels may differ.
    preprocessing = Preprocessing(image_size=33, interpolation="nearest")
    expected = preprocessing(PHOTOS[0])
    result = in_graph(preprocessing)(PHOTOS[0][None])[0]
    result = keras.ops.convert_to_numpy(result)
    assert np.mean(np.abs(result - expected) < 1e-5) > 0.93


def test_any_size_is_taken_by_one_model():
    preprocessing = Preprocessing(image_size=32)
    pixels = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(pixels, in_graph(preprocessing)(pixels))
    for photo in (PHOTOS[0], PHOTOS[1][:100, :333]):
        result = keras.ops.convert_to_numpy(model(photo[None]))[0]
        assert np.abs(result - preprocessing(photo)).max() < 2.02 / 255


def test_the_config_round_trips():
    layer = in_graph(Preprocessing(image_size=(8, 9), crop_ratio=0.5))
    again = ImagePreprocessing.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_an_unknown_filter_is_refused():
    with pytest.raises(ValueError, match="interpolation must be one of"):
        ImagePreprocessing((8, 8), interpolation="sinc")
