"""Keras and KerasCV layers as steps."""

import json
import sys
import warnings
from dataclasses import asdict

import keras
import numpy as np
import pytest

from keras_vit import Augmentation, Preprocessing
from keras_vit.data import Mixing
from keras_vit.data.augmenting.keras_steps import apply_to_image, to_configs
from keras_vit.data.sources.arrays import images_from_arrays

LAYERS = {
    "rotation": lambda: keras.layers.RandomRotation(0.2),
    "grey": lambda: keras.layers.RandomGrayscale(0.5),
    "brightness": lambda: keras.layers.RandomBrightness(0.5),
    "pipeline": lambda: keras.layers.Pipeline(
        [keras.layers.RandomFlip(), keras.layers.RandomContrast(0.5)]
    ),
}


@pytest.fixture
def picture(rng) -> np.ndarray:
    return rng.integers(0, 256, (16, 16, 3), dtype="uint8")


def apply(layer, picture, seed):
    (config,) = to_configs([layer], "extra")
    return apply_to_image(config, picture, np.random.default_rng(seed))


@pytest.mark.parametrize("name", LAYERS)
def test_the_generator_decides_what_a_layer_draws(name, picture):
    keras.utils.set_random_seed(1)
    first = [apply(LAYERS[name](), picture, seed) for seed in range(6)]
    keras.utils.set_random_seed(2)
    again = [apply(LAYERS[name](), picture, seed) for seed in range(6)]
    np.testing.assert_array_equal(first, again)
    assert len({image.tobytes() for image in first}) > 1
    assert first[0].dtype == np.uint8 and first[0].shape == picture.shape


def test_a_step_survives_json():
    augmentation = Augmentation(extra=[keras.layers.RandomGrayscale(0.5)])
    text = json.dumps(asdict(augmentation))
    again = Augmentation(**json.loads(text))
    assert json.dumps(asdict(again)) == text and again == augmentation


# Keras 3.15 asks JAX for int64 in MixUp.
@pytest.mark.filterwarnings("ignore:.*Explicitly requested dtype int64:UserWarning")
def test_keras_mixes_batches():
    pixels = np.zeros((8, 4, 4, 3), "uint8")
    pixels[4:] = 255
    images = images_from_arrays(pixels, np.arange(8) // 4)
    mixing = Mixing(mixup_alpha=0, cutmix_alpha=0, extra=[keras.layers.MixUp(1.0)])
    batches = images.batches(
        Preprocessing(image_size=4), 8, training=True, mixing=mixing, seed=1
    )
    pixels, labels = batches.batch(0, 0)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    # Grey says how much of class 1 there is, and so does the label.
    np.testing.assert_allclose(pixels[:, 0, 0, 0] / 2 + 0.5, labels[:, 1], atol=1e-5)
    np.testing.assert_array_equal(batches.batch(0, 0)[0], pixels)


def test_a_step_must_keep_the_size(picture):
    with pytest.raises(ValueError, match="must keep the shape of an image"):
        apply(keras.layers.CenterCrop(8, 8), picture, 0)


def test_other_steps_are_refused():
    with pytest.raises(TypeError, match="extra must hold Keras or KerasCV"):
        Augmentation(extra=[lambda image: image])
    # Keras 3.15 writes a range for this one that it does not read.
    with pytest.raises(TypeError, match="what their get_config"):
        Augmentation(extra=[keras.layers.RandomShear(0.3, 0.3)])


@pytest.fixture(scope="module")
def cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # KerasCV imports what others deprecate.
        import keras_cv
    return keras_cv.layers


def make(cv, name):
    if name == "RandomAugmentationPipeline":
        return cv.RandomAugmentationPipeline(
            [cv.GridMask(), cv.RandomShear(0.2)], augmentations_per_image=1
        )
    if name == "RandomApply":
        return cv.RandomApply(cv.GridMask(), rate=0.5)
    if name == "RandomChoice":
        return cv.RandomChoice([cv.GridMask(), cv.ChannelShuffle()])
    options = {"RandomCutout": (0.3, 0.3), "RandomJpegQuality": ((20, 60),)}
    return getattr(cv, name)(*options.get(name, ()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        *("GridMask", "RandomAugmentationPipeline", "RandomCutout"),
        *("RandomApply", "RandomChoice"),
    ],
)
def test_keras_cv_changes_images(name, cv, picture):
    first = [apply(make(cv, name), picture, seed) for seed in range(3)]
    again = [apply(make(cv, name), picture, seed) for seed in range(3)]
    np.testing.assert_array_equal(first, again)
    assert len({image.tobytes() for image in first}) > 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["FourierMix", "Mosaic"])
def test_keras_cv_mixes_batches(name, cv, rng):
    pixels = rng.integers(0, 256, (8, 16, 16, 3), dtype="uint8")
    images = images_from_arrays(pixels, np.arange(8) % 2)
    mixing = Mixing(mixup_alpha=0, cutmix_alpha=0, extra=[make(cv, name)])
    batches = images.batches(
        Preprocessing(image_size=16), 4, training=True, mixing=mixing
    )
    images, labels = batches.batch(0, 0)
    assert images.shape == (4, 16, 16, 3) and labels.shape == (4, 2)
    np.testing.assert_array_equal(batches.batch(0, 0)[0], images)


def test_a_missing_keras_cv_is_named_with_its_extra(cv, monkeypatch):
    augmentation = Augmentation(extra=[cv.GridMask()])
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(ImportError, match=r"keras3-vit\[cv\]"):
        augmentation.check(Preprocessing())
