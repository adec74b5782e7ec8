from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import StochasticDepth
from tests.contract import check_layer, example, to_numpy


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_stochastic_depth_keeps_the_layer_contract(rate):
    check_layer(partial(StochasticDepth, rate), (2, 5, 8), (2, 5, 8))


def test_stochastic_depth_drops_whole_images_or_scales_them():
    branch = np.ones((64, 5, 8), "float32")
    kept = to_numpy(StochasticDepth(0.25)(branch, training=True)).reshape(64, -1)
    np.testing.assert_allclose(kept, np.repeat(kept[:, :1], 40, axis=1))
    np.testing.assert_allclose(np.unique(kept), [0, 1 / 0.75], rtol=1e-6)


def test_stochastic_depth_drops_its_share_of_the_images():
    branch = np.ones((4000, 1, 1), "float32")
    kept = to_numpy(StochasticDepth(0.25)(branch, training=True))
    np.testing.assert_allclose((kept == 0).mean(), 0.25, atol=0.03)


def test_stochastic_depth_keeps_the_mean():
    branch = np.ones((4000, 1, 1), "float32")
    kept = to_numpy(StochasticDepth(0.25)(branch, training=True))
    np.testing.assert_allclose(kept.mean(), 1, atol=0.04)


@pytest.mark.parametrize(("rate", "training"), [(0.9, False), (0.0, True)])
def test_stochastic_depth_does_nothing_at_inference_or_at_rate_0(rate, training):
    branch = example((16, 5, 8))
    outputs = to_numpy(StochasticDepth(rate)(branch, training=training))
    np.testing.assert_array_equal(outputs, branch)


def test_stochastic_depth_rejects_a_rate_out_of_range():
    with pytest.raises(ValueError, match="rate"):
        StochasticDepth(1.5)
