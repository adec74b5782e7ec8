"""Colour jitter."""

import numpy as np
import pytest
from PIL import Image

from keras_vit import Augmentation
from keras_vit.data.augmenting.color_jitter import jitter_color
from keras_vit.data.augmenting.operations import Paint

PAINT = Paint(fill=(128, 128, 128), resample=Image.Resampling.BICUBIC)


def test_brightness_multiplies_by_a_factor_in_its_range(rng):
    grey = Image.new("L", (4, 4), 100)
    values = [
        np.asarray(jitter_color(grey, (0.4, 0.0, 0.0), PAINT, rng))[0, 0]
        for _ in range(200)
    ]
    assert 60 <= min(values) < 70 and 130 < max(values) <= 140


def test_hue_turns_colours_and_leaves_grey_alone(rng):
    red = Image.new("RGB", (4, 4), (200, 0, 0))
    turned = {
        tuple(np.asarray(jitter_color(red, (0, 0, 0, 0.5), PAINT, rng))[0, 0])
        for _ in range(50)
    }
    assert any(g > 150 for _, g, _ in turned) and any(b > 150 for *_, b in turned)
    grey = Image.new("RGB", (4, 4), (90, 90, 90))
    same = jitter_color(grey, (0, 0, 0, 0.5), PAINT, rng)
    np.testing.assert_array_equal(np.asarray(same), np.asarray(grey))


def test_one_number_is_brightness_contrast_and_saturation():
    assert Augmentation(color_jitter=0.3).color_jitter == (0.3, 0.3, 0.3)
    assert Augmentation(color_jitter=[0.1, 0.2, 0.3, 0.4]).color_jitter[3] == 0.4


@pytest.mark.parametrize("value", [-0.1, (0.1, 0.2), (0, 0, 0, 0.6)])
def test_ranges_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match="color_jitter must be one number"):
        Augmentation(color_jitter=value)
