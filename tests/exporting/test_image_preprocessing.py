"""Preprocessing in the graph."""

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_vit import Preprocessing
from keras_vit.exporting.image_preprocessing import ImagePreprocessing

PHOTOS = load_sample_images().images


def in_graph(preprocessing: Preprocessing, photo: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(ImagePreprocessing(preprocessing)(photo[None]))[0]


def difference(preprocessing: Preprocessing, photo: np.ndarray) -> np.ndarray:
    """Return how many of 255 steps the graph is away from Pillow, for each pixel."""
    result = keras.ops.convert_to_numpy(
        ImagePreprocessing(preprocessing)(photo[None])[0]
    )
    expected = preprocessing(photo)
    assert result.shape == expected.shape
    return np.abs(result - expected) * np.asarray(preprocessing.std) * 255


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("resize", ["crop", "squash", "border"])
@pytest.mark.parametrize("size", [(64, 64), (48, 81), (270, 325)])
def test_the_graph_is_within_one_step_of_pillow(interpolation, resize, size):
    preprocessing = Preprocessing(
        image_size=size, resize=resize, interpolation=interpolation, crop_ratio=0.9
    )
    for photo in (PHOTOS[0], PHOTOS[1][:301, 7:]):
        steps = difference(preprocessing, photo)
        # A half that is rounded up in one pass and down in the other: hardly ever.
        assert np.mean(steps > 1.01) < 1e-5
        assert steps.max() < 2.01
        assert steps.mean() < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"crop_rounding": "down", "crop_ratio": 0.7},
        {"crop_ratio": (0.9, 0.6)},
        {"crop_ratio": (1.2, 0.9)},  # Black above and below.
        {"crop_ratio": 1.3, "crop_rounding": "down"},
        {"resize": "border", "mean": (0.1, 0.5, 0.9)},
        {"resize": "border", "crop_rounding": "down", "interpolation": "nearest"},
        {"resize": "squash", "crop_ratio": 1.1},
    ],
    ids=str,
)
def test_crop_and_border_are_where_pillow_has_them(options):
    # An even fraction of the photograph, so that "nearest" has no choice.
    preprocessing = Preprocessing(**{"image_size": (41, 60), **options})
    for photo in (PHOTOS[0][:405, :600], PHOTOS[1][:300, :205], PHOTOS[0][:9, :13]):
        assert np.median(difference(preprocessing, photo)) < 0.01
        assert np.mean(difference(preprocessing, photo) < 1.01) > 0.9


def test_the_height_comes_first_where_it_shrinks_more():
    # Pillow 13 does so by itself; in two steps each version does.
    photo = PHOTOS[0][:, 100:301]  # 427 x 201
    preprocessing = Preprocessing(image_size=224, resize="squash", mean=0.0, std=1.0)
    image = Image.fromarray(photo).resize((201, 224), Image.Resampling.BICUBIC)
    expected = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))
    result = keras.ops.convert_to_numpy(ImagePreprocessing(preprocessing)(photo[None]))[
        0
    ]
    assert np.abs(255 * result - expected).max() < 2.01


def test_the_border_has_the_mean_colour():
    preprocessing = Preprocessing(
        image_size=12, resize="border", mean=(0.2, 0.4, 0.6), std=0.1
    )
    result = keras.ops.convert_to_numpy(
        ImagePreprocessing(preprocessing)(PHOTOS[0][None])
    )[0]
    rows = np.abs(result).max(axis=(1, 2))
    np.testing.assert_allclose(rows[[0, 1, -2, -1]], 0, atol=1e-5)
    assert rows[2:-2].min() > 1


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_floats_are_not_rounded_in_the_graph(interpolation):
    preprocessing = Preprocessing(
        image_size=(48, 50), resize_dtype="float32", interpolation=interpolation
    )
    assert difference(preprocessing, PHOTOS[0]).max() < 0.01


def test_nearest_takes_whole_pixels():
    # Pillow adds up steps in floating point: a centre between two pixels may differ.
    preprocessing = Preprocessing(image_size=33, interpolation="nearest")
    expected = preprocessing(PHOTOS[0])
    result = in_graph(preprocessing, PHOTOS[0])
    assert np.mean(np.abs(result - expected) < 1e-5) > 0.93


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 32},
        {"image_size": (32, 20)},
        {"image_size": (20, 32), "resize": "border"},
        {"image_size": 20, "crop_ratio": 1.2, "crop_rounding": "down"},
    ],
    ids=str,
)
def test_any_size_is_taken_by_one_model(options):
    preprocessing = Preprocessing(**options)
    pixels = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(pixels, ImagePreprocessing(preprocessing)(pixels))
    for photo in (PHOTOS[0], PHOTOS[1][:100, :333]):
        result = keras.ops.convert_to_numpy(model(photo[None]))[0]
        assert np.abs(result - preprocessing(photo)).max() < 2.02 / 255


def test_the_config_round_trips():
    layer = ImagePreprocessing(Preprocessing(image_size=(8, 9), crop_ratio=(0.5, 0.6)))
    again = ImagePreprocessing.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_an_unknown_filter_is_refused():
    with pytest.raises(ValueError, match="interpolation must be one of"):
        ImagePreprocessing({"image_size": 8, "interpolation": "sinc"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "box"}, "in a graph, .*, or preprocess outside"),
        ({"resize": "pad"}, "resize must be one of"),
        ({"crop_rounding": "up"}, "crop_rounding must be one of"),
        ({"resize_dtype": "float16"}, "resize_dtype must be one of"),
    ],
    ids=str,
)
def test_what_the_graph_cannot_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImagePreprocessing({"image_size": 8, **options})
