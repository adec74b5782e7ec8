"""The grid of augmented images."""

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Augmentation, Preprocessing
from keras_vit.cli import main
from keras_vit.data import Mixing, show_augmentation
from keras_vit.data.augmenting.preview import GAP

PREPROCESSING = Preprocessing(image_size=96)


@pytest.fixture
def pictures(rng):
    return [rng.integers(0, 256, (100, 120, 3), dtype="uint8") for _ in range(3)]


def tile(grid, row, column):
    left = GAP + column * (96 + GAP) + (2 * GAP if column else 0)
    top = GAP + row * (96 + GAP)
    return np.asarray(grid)[top : top + 96, left : left + 96]


def test_the_first_column_is_what_inference_sees(pictures):
    grid = show_augmentation(
        pictures, Augmentation(rand_augment=True), preprocessing=PREPROCESSING
    )
    for row, picture in enumerate(pictures):
        expected = PREPROCESSING.resize_image(picture)
        np.testing.assert_array_equal(tile(grid, row, 0), expected)


def test_the_other_columns_are_what_training_sees(pictures):
    augmentation = Augmentation(crop_area=(0.3, 1.0), random_erasing=1.0)
    grid = show_augmentation(
        pictures, augmentation, preprocessing=PREPROCESSING, columns=2, seed=4
    )
    images = keras_vit.data.sources.arrays.images_from_arrays(pictures, np.arange(3))
    batches = images.batches(
        PREPROCESSING, 3, training=True, augmentation=augmentation, seed=4
    )
    pixels = PREPROCESSING.denormalize(batches.batch(1, 0)[0])
    pixels = np.clip(np.rint(pixels), 0, 255)
    order = batches.sampler.slots(1, 0).positions
    for slot, row in enumerate(order):
        np.testing.assert_array_equal(tile(grid, row, 2), pixels[slot])


def test_grey_and_mixed_images_are_drawn(tmp_path):
    data = keras_vit.load_data("digits")
    path = tmp_path / "grid.png"
    grid = show_augmentation(
        data,
        Augmentation(rotation=10),
        path,
        preprocessing=Preprocessing(image_size=16, channels=1),
        mixing=Mixing(),
        rows=2,
        columns=3,
    )
    with Image.open(path) as written:
        assert written.size == grid.size == (4 * 100 + 4 + 8, 2 * 100 + 4)


def test_the_command_writes_a_picture(tmp_path, capsys):
    path = tmp_path / "grid.png"
    arguments = ["--recipe", "small_data", "--rows", "2", "--columns", "2"]
    assert main(["augment", "--data", "digits", *arguments, "--output", str(path)]) == 0
    assert path.is_file() and "originals on the left" in capsys.readouterr().out


def test_an_empty_grid_is_refused(pictures):
    with pytest.raises(ValueError, match="rows and columns must be at least 1"):
        show_augmentation(pictures, Augmentation(), rows=0)
    with pytest.raises(ValueError, match="at least one image"):
        show_augmentation([], Augmentation())
