"""Crops from arrays and from files."""

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Augmentation, Preprocessing
from keras_vit.data.augmenting.cropping import crop_array, crop_file, crop_padded
from tests.peers import import_timm

AREA = (0.2, 1.0)


@pytest.fixture
def picture(rng) -> Image.Image:
    smooth = rng.integers(0, 256, (6, 5, 3), dtype="uint8")
    return Image.fromarray(smooth).resize((130, 170), Image.Resampling.BICUBIC)


def both(path, preprocessing, seed):
    picture = crop_file(path, AREA, preprocessing, np.random.default_rng(seed))
    pixels = preprocessing.to_array(path)
    array = crop_array(pixels, AREA, preprocessing, np.random.default_rng(seed))
    return picture, array


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "grey.png"])
def test_a_crop_of_a_file_is_a_crop_of_its_pixels(name, picture, tmp_path):
    channels = 1 if "grey" in name else 3
    path = tmp_path / name
    picture.convert("L" if channels == 1 else "RGB").save(path)
    preprocessing = Preprocessing(image_size=96, channels=channels)
    for seed in range(8):
        crop, expected = both(path, preprocessing, seed)
        pixels = np.asarray(crop).reshape(expected.shape)
        np.testing.assert_array_equal(pixels, expected)


def test_large_photos_are_decoded_smaller_and_look_the_same(picture, tmp_path):
    path = tmp_path / "large.jpg"
    picture.resize((1300, 1700), Image.Resampling.BICUBIC).save(path, quality=95)
    preprocessing = Preprocessing(image_size=64)
    for seed in range(8):
        crop, expected = both(path, preprocessing, seed)
        difference = np.asarray(crop).astype(float) - expected
        assert np.abs(difference).mean() < 2 and np.abs(difference).max() < 30


def test_rotated_and_transparent_files_take_the_long_way(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    picture.convert("RGBA").save(tmp_path / "clear.png")
    preprocessing = Preprocessing(image_size=32)
    augmentation = Augmentation(crop_area=AREA, horizontal_flip=True)
    for name in ("turned.jpg", "clear.png"):
        path = tmp_path / name
        rngs = [np.random.default_rng(1) for _ in range(3)]
        assert crop_file(path, AREA, preprocessing, rngs[0]) is None
        expected = augmentation(preprocessing.to_array(path), preprocessing, rngs[1])
        given = augmentation.of_file(path, preprocessing, rngs[2])
        np.testing.assert_array_equal(given, expected)


def test_files_are_distorted_as_arrays(picture, tmp_path):
    picture.save(tmp_path / "x.png")
    preprocessing = Preprocessing(image_size=48)
    augmentation = Augmentation(
        crop_area=AREA, horizontal_flip=True, rotation=20, rand_augment=True
    )
    for seed in range(6):
        expected, given = (
            function(source, preprocessing, np.random.default_rng(seed))
            for function, source in (
                (augmentation, np.asarray(picture)),
                (augmentation.of_file, tmp_path / "x.png"),
            )
        )
        np.testing.assert_array_equal(given, expected)


class Given:
    """A generator that gives what it is told."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def integers(self, high):
        number = self.numbers.pop(0)
        assert 0 <= number < high
        return number


@pytest.mark.parametrize("size", [(130, 170), (170, 130), (64, 64), (65, 64)])
def test_the_padded_crop_is_the_simple_random_crop_of_deit3(size, rng):
    import_timm()
    from torchvision.transforms import functional

    smooth = rng.integers(0, 256, (6, 5, 3), dtype="uint8")
    picture = Image.fromarray(smooth).resize(size, Image.Resampling.BICUBIC)
    resized = functional.resize(
        picture, 64, interpolation=functional.InterpolationMode.BICUBIC
    )
    padded = functional.pad(resized, 4, padding_mode="reflect")
    preprocessing = Preprocessing(image_size=64, crop_ratio=0.9)
    # The corners: torchvision, too, draws up to and with the last place.
    for top in (0, padded.height - 64):
        for left in (0, padded.width - 64):
            expected = functional.crop(padded, top, left, 64, 64)
            found = crop_padded(np.asarray(picture), 4, preprocessing, Given(top, left))
            np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("crops", [{"crop_padding": 4}, {"crop_area": (0.08, 1.0)}])
def test_random_crops_of_a_long_strip_take_no_more_than_they_need(
    size, crops, rng, monkeypatch
):
    made = []
    resize = Image.Image.resize

    def watched(self, size, *args, **kwargs):
        made.append(size[0] * size[1])
        return resize(self, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", watched)
    pixels = rng.integers(0, 256, (*size, 3), dtype="uint8")
    augmentation = Augmentation(**crops)
    preprocessing = Preprocessing(image_size=64)
    for _ in range(3):
        assert augmentation(pixels, preprocessing, rng).shape == (64, 64, 3)
    assert max(made, default=0) <= 2 * 72**2


def test_each_place_of_a_padded_crop_is_as_likely(rng):
    columns = np.broadcast_to(np.arange(8)[:, None], (8, 8, 1)).astype("uint8")
    preprocessing = Preprocessing(image_size=8, channels=1)
    lefts = [crop_padded(columns, 2, preprocessing, rng)[0, 0, 0] for _ in range(500)]
    # Mirrored: 2 1 | 0 1 2, so that the first column is 0 once and 1 and 2 twice.
    shares = np.bincount(lefts, minlength=3) / 500
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.4], atol=0.07)


def test_padded_crops_are_drawn_anew_with_and_without_a_cache(picture, tmp_path):
    pixels = np.asarray(picture)
    images = np.stack([pixels, pixels[::-1]])
    data = keras_vit.load_data((images, np.array([0, 1])), validation_fraction=0.0)
    batches = [
        data.train.batches(
            Preprocessing(image_size=32),
            2,
            training=True,
            augmentation=Augmentation(crop_padding=4, horizontal_flip=True),
            cache=cache,
        )
        for cache in (False, tmp_path)
    ]
    epochs = []
    for epoch in range(2):
        found = []
        for each in batches:
            each.epoch = epoch
            found.append(each[0][0])
        np.testing.assert_array_equal(*found)
        epochs.append(found[0])
    assert not np.array_equal(*epochs)
