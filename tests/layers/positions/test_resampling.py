from __future__ import annotations

import numpy as np
import pytest

from keras_vit.checkpoints import resample
from keras_vit.layers.positions.resampling import resample_table, resize_matrix
from tests.contract import example, to_numpy


@pytest.mark.parametrize(
    ("old", "new"), [(4, 9), (9, 4), (16, 7), (7, 7), (3, 1), (1, 3), (14, 37)]
)
def test_matrices_are_those_of_loading(old, new):
    np.testing.assert_allclose(
        to_numpy(resize_matrix(old, new)), resample.resize_matrix(old, new), atol=1e-5
    )


def test_matrices_of_the_same_size_are_the_identity():
    for size in (1, 2, 7, 16, 37):
        np.testing.assert_array_equal(to_numpy(resize_matrix(size, size)), np.eye(size))


@pytest.mark.parametrize("prefix", [0, 2])
def test_rows_before_the_patches_stay_as_they_are(prefix):
    table = example((1, prefix + 6, 4))
    found = to_numpy(resample_table(table, prefix, (2, 3), (4, 4), (1, 16, 20, 3)))
    assert found.shape == (1, prefix + 20, 4)
    np.testing.assert_array_equal(found[:, :prefix], table[:, :prefix])
    expected = resample.resample_positions(table[:, prefix:], (2, 3), (4, 5))
    np.testing.assert_allclose(found[:, prefix:], expected, atol=1e-5)
