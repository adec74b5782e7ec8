"""Pictures kept in memory and on disk."""

import numpy as np
import pytest

from keras_vit import Augmentation, Preprocessing
from keras_vit.data.images import Images

PREPROCESSING = Preprocessing(image_size=8)


class Counted:
    """Pictures that count how often they are read."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.count = 0

    def __call__(self, number):
        self.count += 1
        return self.pixels[number]


@pytest.fixture
def counted(rng) -> Counted:
    return Counted(rng.integers(0, 256, (12, 10, 9, 3), dtype="uint8"))


def run(counted, cache, augmentation=None):
    images = Images(counted, np.arange(12) % 2)
    batches = images.batches(
        PREPROCESSING, 4, training=True, augmentation=augmentation, cache=cache
    )
    return [batches.batch(epoch, 0)[0] for epoch in range(3) for _ in range(2)]


@pytest.mark.parametrize("crop", [None, (0.3, 1.0)])
def test_a_folder_keeps_pictures_for_later_runs(crop, counted, tmp_path):
    augmentation = Augmentation(crop_area=crop)
    expected = run(counted, False, augmentation)
    np.testing.assert_array_equal(run(counted, tmp_path, augmentation), expected)
    reads = counted.count
    np.testing.assert_array_equal(run(counted, tmp_path, augmentation), expected)
    assert counted.count == reads


def test_memory_keeps_resized_pictures(counted):
    run(counted, True)
    assert counted.count <= 12


def test_a_damaged_file_is_made_again(counted, tmp_path):
    expected = run(counted, tmp_path)
    for path in tmp_path.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:20])
    np.testing.assert_array_equal(run(counted, tmp_path), expected)
    assert not list(tmp_path.rglob("*.tmp"))


def test_other_preprocessing_shares_nothing(counted, tmp_path):
    images = Images(counted, np.arange(12) % 2)
    for interpolation in ("nearest", "bicubic"):
        preprocessing = Preprocessing(image_size=8, interpolation=interpolation)
        batch = images.batches(preprocessing, 4, cache=tmp_path)[0]
        np.testing.assert_array_equal(batch[0][0], preprocessing(counted(0)))
    assert len(list(tmp_path.iterdir())) == 2
