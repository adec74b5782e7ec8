from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from keras_vit import Preprocessing
from keras_vit.layers.image_preprocessing import ImagePreprocessing
from tests.contract import check_layer, to_numpy


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    """Two photographs and parts of them with other sizes and proportions."""
    china, flower = load_sample_images().images
    return [china, flower[50:130, 40:341], china[:201, 100:241], flower[:30, :25]]


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": (16, 24)},
        {
            "image_size": (16, 24),
            "resize": "squash",
            "crop_ratio": 0.9,
            "interpolation": "bilinear",
            "mean": (0.1, 0.2, 0.3),
            "std": (0.3, 0.2, 0.1),
        },
    ],
)
def test_image_preprocessing_keeps_the_layer_contract(options):
    make = partial(ImagePreprocessing, **options)
    check_layer(make, (2, 20, 30, 3), (2, 16, 24, 3))


@pytest.mark.parametrize(
    "options",
    [
        {"interpolation": "bilinear"},
        {"interpolation": "bicubic"},
        {"interpolation": "lanczos"},
        {"crop_ratio": 0.875},
        {"resize": "squash", "crop_ratio": 0.9},
        {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    ],
    ids=str,
)
def test_image_preprocessing_is_within_one_step_of_pillow(options, photographs):
    options = {"image_size": (48, 64), **options}
    layer, preprocessing = ImagePreprocessing(**options), Preprocessing(**options)
    for pixels in photographs:
        result = preprocessing.denormalize(to_numpy(layer(pixels[None]))[0])
        expected = preprocessing.denormalize(preprocessing(pixels))
        assert abs(result - expected).max() < 1.01
        assert abs(result - expected).mean() < 0.2


def test_nearest_pixels_are_those_of_pillow_but_for_ties(photographs):
    # Half way between two pixels, Pillow's sum of steps may fall on either side.
    options = {"image_size": (48, 64), "interpolation": "nearest"}
    layer, preprocessing = ImagePreprocessing(**options), Preprocessing(**options)
    for pixels in photographs:
        difference = to_numpy(layer(pixels[None]))[0] - preprocessing(pixels)
        assert (abs(difference) > 1e-4).mean() < 0.03


def test_image_preprocessing_takes_pictures_of_any_size(photographs):
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, ImagePreprocessing((48, 64))(inputs))
    preprocessing = Preprocessing(image_size=(48, 64))
    for pixels in photographs:
        result = model.predict(pixels[None], verbose=0)[0]
        np.testing.assert_allclose(result, preprocessing(pixels), atol=1.01 * 2 / 255)


def test_image_preprocessing_rejects_an_unknown_interpolation():
    with pytest.raises(ValueError, match="'nearest', 'bilinear', 'bicubic', 'lanczos'"):
        ImagePreprocessing((48, 64), interpolation="area")


def test_image_preprocessing_rejects_images_that_are_not_of_rank_4():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 4"):
        ImagePreprocessing((48, 64)).build((None, 48, 64))
