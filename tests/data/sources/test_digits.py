"""The embedded digits."""

import numpy as np
from sklearn.datasets import load_digits as load_sklearn_digits

from keras_vit.data.sources.digits import load_digits


def test_digits_are_those_of_scikit_learn():
    images, labels = load_digits()
    reference = load_sklearn_digits()
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.uint8
    np.testing.assert_array_equal(np.rint(images[..., 0] / 255 * 16), reference.images)
    np.testing.assert_array_equal(labels, reference.target)
