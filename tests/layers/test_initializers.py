from __future__ import annotations

import numpy as np

from keras_vit.layers.initializers import nearly_zero, xavier_of_square
from tests.contract import to_numpy


def test_the_limit_is_that_of_one_square_matrix():
    values = to_numpy(xavier_of_square()((64, 3 * 64)))
    limit = np.sqrt(6 / (64 + 64))  # glorot uniform, arXiv:1502.01852
    # VarianceScaling sees fan_avg = (D + 3 D) / 2 of the fused matrix.
    assert 0.99 * limit < abs(values).max() <= limit


def test_nearly_zero_is_not_zero():
    values = to_numpy(nearly_zero()((1000,)))
    assert 0.8e-6 < values.std() < 1.2e-6
