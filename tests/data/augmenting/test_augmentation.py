"""Random changes of training images."""

import numpy as np
import pytest

from keras_vit import Augmentation, Preprocessing

PREPROCESSING = Preprocessing(image_size=16)


@pytest.fixture
def picture(rng) -> np.ndarray:
    return rng.integers(0, 256, (40, 30, 3), dtype="uint8")


def augment(augmentation, picture, seed=0, preprocessing=PREPROCESSING):
    return augmentation(picture, preprocessing, np.random.default_rng(seed))


def test_no_augmentation_is_the_resize_of_inference(picture):
    result = augment(Augmentation(), picture)
    np.testing.assert_array_equal(result, PREPROCESSING.resize_image(picture))


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(crop_area=(0.2, 0.9)),
        Augmentation(crop_padding=4),
        Augmentation(rotation=30),
        Augmentation(shear=30),
        Augmentation(translation=0.3),
        Augmentation(zoom=0.3),
    ],
    ids=["crop", "padded crop", "rotation", "shear", "translation", "zoom"],
)
def test_the_generator_decides_the_change(augmentation, picture):
    first = augment(augmentation, picture, seed=1)
    np.testing.assert_array_equal(first, augment(augmentation, picture, seed=1))
    assert not np.array_equal(first, augment(augmentation, picture, seed=2))
    assert first.shape == (16, 16, 3) and first.dtype == np.uint8


def test_flip_mirrors_about_half_of_the_images(picture):
    plain = PREPROCESSING.resize_image(picture)
    results = [
        augment(Augmentation(horizontal_flip=True), picture, s) for s in range(40)
    ]
    flipped = [np.array_equal(result, plain[:, ::-1]) for result in results]
    kept = [np.array_equal(result, plain) for result in results]
    assert sum(flipped) + sum(kept) == 40 and 8 <= sum(flipped) <= 32


def test_translation_moves_the_picture_without_changing_it():
    picture = np.zeros((16, 16, 1), dtype="float32")
    picture[7:9, 7:9] = 100.0
    preprocessing = Preprocessing(image_size=16, channels=1)
    for seed in range(10):
        moved = augment(Augmentation(translation=0.25), picture, seed, preprocessing)
        assert moved.sum() == pytest.approx(400.0, rel=1e-3)


def test_rotation_keeps_the_centre():
    picture = np.zeros((17, 17, 1), dtype="float32")
    picture[8, :] = 1.0
    preprocessing = Preprocessing(image_size=17, channels=1)
    for seed in range(10):
        turned = augment(Augmentation(rotation=90), picture, seed, preprocessing)
        assert turned[8, 8] == pytest.approx(1.0, abs=0.05)


def test_shear_keeps_the_middle_row_and_slants_the_middle_column():
    picture = np.zeros((17, 17, 1), dtype="float32")
    picture[:, 8] = picture[8, :] = 1.0
    preprocessing = Preprocessing(image_size=17, channels=1)
    for seed in range(10):
        slanted = augment(Augmentation(shear=30), picture, seed, preprocessing)[..., 0]
        np.testing.assert_allclose(slanted[8, 6:11], 1.0, atol=0.05)
        columns = slanted.argmax(axis=1)
        top, bottom = columns[4] - 8, columns[12] - 8
        assert abs(top + bottom) <= 1


def test_each_number_of_channels_is_augmented_alike(rng):
    planes = rng.integers(0, 256, (16, 16, 5), dtype="uint8")
    preprocessing = Preprocessing(image_size=16, channels=5)
    augmentation = Augmentation(rotation=30, translation=0.1, zoom=0.2)
    together = augment(augmentation, planes, 3, preprocessing)
    rgb = augment(augmentation, planes[..., :3], 3)
    np.testing.assert_array_equal(together[..., :3], rgb)


def test_crop_area_bounds_what_is_seen():
    # Each pixel holds its column: the range in the crop tells its width.
    columns = np.broadcast_to(np.arange(100, dtype="float32")[:, None], (100, 100, 1))
    preprocessing = Preprocessing(image_size=50, channels=1, interpolation="nearest")
    for seed in range(20):
        crop = augment(Augmentation(crop_area=(0.2, 0.3)), columns, seed, preprocessing)
        width = np.ptp(crop) + 1
        assert 100 * np.sqrt(0.2 * 3 / 4) - 3 <= width <= 100 * np.sqrt(0.3 * 4 / 3) + 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_area": (0.5, 0.2)}, "crop_area must be"),
        ({"crop_area": (0.0, 1.0)}, "crop_area must be"),
        ({"crop_area": 0.5}, "crop_area must be"),
        ({"crop_padding": -1}, "crop_padding must be a whole number"),
        ({"crop_padding": 1.5}, "crop_padding must be a whole number"),
        ({"crop_padding": 4, "crop_area": (0.1, 1.0)}, "Leave one of them out"),
        ({"rotation": 200}, r"rotation must be in \[0, 180\]"),
        ({"shear": 90}, r"shear must be in \[0, 90\)"),
        ({"translation": 1.0}, "translation must be at least 0 and below 1"),
        ({"zoom": -0.1}, "zoom must be at least 0 and below 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_a_switch_takes_no_probability():
    with pytest.raises(TypeError, match="horizontal_flip must be True or False"):
        Augmentation(horizontal_flip=0.3)


def test_padding_needs_images_that_are_larger():
    with pytest.raises(ValueError, match="crop_padding must be less than the sides"):
        Augmentation(crop_padding=16).check(PREPROCESSING)
