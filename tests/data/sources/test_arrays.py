"""Images from NumPy arrays."""

import numpy as np
import pytest

from keras_vit.data.sources.arrays import images_from_arrays


def test_pictures_of_different_sizes_are_taken_from_a_list():
    images = images_from_arrays([np.zeros((4, 5, 3)), np.zeros((7, 2, 3))], [0, 1])
    assert images.read(1).shape == (7, 2, 3) and len(images) == 2


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (np.zeros((3, 64)), [0, 1, 2], r"\(N, H, W\) or \(N, H, W, C\)"),
        (np.zeros((0, 4, 4)), [], "at least one image"),
        (np.zeros((3, 4, 4)), [0, 1], "2 labels and 3 images"),
        (np.zeros((3, 4, 4)), [0.0, 1.0, 2.0], "whole numbers"),
        (np.zeros((3, 4, 4)), np.eye(3, dtype=int), r"labels\.argmax\(-1\)"),
        (np.zeros((3, 4, 4)), [0, -1, 1], "from 0 to 1, received -1 at index 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(pixels, labels, message):
    with pytest.raises(ValueError, match=message):
        images_from_arrays(pixels, labels)


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1, received 2 at index 2"):
        images_from_arrays(np.zeros((3, 4, 4)), [0, 1, 2], num_classes=2)
