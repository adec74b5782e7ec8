from __future__ import annotations

import numpy as np
import pytest

from keras_vit.checkpoints.entries import LINEAR, Entry

QKV = Entry("block_0/attention/qkv/kernel", ("q", "k", "v"), LINEAR, widths=(4, 2, 2))


def test_parts_follow_each_other_along_the_axis_of_the_weight():
    arrays = {
        name: np.random.rand(n, 3) for name, n in zip("qkv", (4, 2, 2), strict=True)
    }
    weight = QKV.load(arrays)
    assert weight.shape == (3, 8)
    stored = QKV.store(weight)
    for name, array in arrays.items():
        np.testing.assert_array_equal(stored[name], array)


def test_parts_that_do_not_fit_are_named():
    arrays = {"q": np.zeros((4, 3)), "k": np.zeros((2, 5)), "v": np.zeros((2, 3))}
    with pytest.raises(
        ValueError, match=r"qkv/kernel'.*q \(4, 3\), k \(2, 5\), v \(2, 3\). Check that"
    ):
        QKV.load(arrays)
