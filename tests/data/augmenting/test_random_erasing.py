"""Random erasing."""

import numpy as np
import pytest

from keras_vit import Augmentation
from keras_vit.data.augmenting.random_erasing import erase_rectangle


def test_a_rectangle_becomes_noise_of_the_models_units(rng):
    areas, noise = [], []
    for _ in range(300):
        values = np.full((40, 50, 3), 7.0, "float32")
        erase_rectangle(values, 1.0, rng)
        changed = (values != 7).all(axis=-1)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        areas.append(changed.mean())
        noise.append(values[changed])
    assert min(areas) > 0.01 and max(areas) < 0.36
    pixels = np.concatenate(noise)
    assert abs(pixels.mean()) < 0.02 and abs(pixels.std() - 1) < 0.02


def test_the_share_of_changed_images_is_the_probability(rng):
    changed = 0
    for _ in range(600):
        values = np.zeros((8, 8, 1), "float32")
        erase_rectangle(values, 0.25, rng)
        changed += values.any()
    assert 0.19 < changed / 600 < 0.31


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"random_erasing must be in \[0, 1\]"):
        Augmentation(random_erasing=1.5)
