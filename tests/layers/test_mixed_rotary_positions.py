from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from keras import ops

from keras_vit.layers import MixedRotaryPositions
from keras_vit.layers.rotation import rotate
from tests.contract import check_layer, example, set_random_weights, to_numpy

IMAGES = np.zeros((1, 4, 6, 3), "float32")


def built(prefix: int = 0, temperature: float = 10.0) -> MixedRotaryPositions:
    layer = MixedRotaryPositions(2, 8, (2, 2), prefix, temperature=temperature)
    layer.build(IMAGES.shape)
    return layer


@pytest.mark.parametrize("prefix", [0, 1])
def test_mixed_positions_keep_the_layer_contract(prefix):
    make = partial(MixedRotaryPositions, 2, 8, (4, 2), prefix)
    check_layer(make, (3, 8, 6, 1), (2, 6 + prefix, 2, 8))


def test_mixed_positions_equal_the_formula():
    layer = built(prefix=1)
    set_random_weights(layer, scale=1.0)
    speed_x, speed_y = to_numpy(layer.frequencies)  # (heads, 4) each
    angles = [np.zeros((2, 4))]
    for row in range(2):
        angles += [column * speed_x + row * speed_y for column in range(3)]
    angles = np.repeat(angles, 2, axis=-1)
    expected = np.stack([np.cos(angles), np.sin(angles)])
    np.testing.assert_allclose(to_numpy(layer(IMAGES)), expected, atol=1e-5)


def test_scores_depend_on_the_relative_position_only():
    rotation = built()(np.zeros((1, 6, 6, 3), "float32"))
    query, key = (
        to_numpy(rotate(ops.repeat(x, 9, axis=1), rotation, "interleaved"))[0]
        for x in (example((1, 1, 2, 8), seed=1), example((1, 1, 2, 8), seed=2))
    )
    grid = np.einsum("qhd,khd->hqk", query, key).reshape(2, 3, 3, 3, 3)
    np.testing.assert_allclose(grid[:, 0, 0, 1, 1], grid[:, 1, 1, 2, 2], atol=1e-4)
    np.testing.assert_allclose(grid[:, 1, 0, 0, 2], grid[:, 2, 0, 1, 2], atol=1e-4)


def test_frequencies_start_as_the_axial_ones_turned_by_an_angle_per_head():
    x, y = to_numpy(built(temperature=100.0).frequencies)  # (heads, 4)
    speeds = np.tile([1.0, 0.1], 2)
    np.testing.assert_allclose(np.hypot(x, y), np.stack([speeds] * 2), rtol=1e-5)
    # The second half turns with the axis at a right angle to that of the first.
    products = x[:, :2] * x[:, 2:] + y[:, :2] * y[:, 2:]
    np.testing.assert_allclose(products, 0, atol=1e-6)
    assert abs(x[0] - x[1]).max() > 1e-3


def test_mixed_positions_reject_a_head_without_pairs():
    with pytest.raises(ValueError, match="received head_dim=6. Choose hidden_dim and"):
        MixedRotaryPositions(2, 6, (2, 2))


def test_mixed_positions_reject_inputs_that_are_no_images():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 4"):
        MixedRotaryPositions(2, 8, (2, 2)).build((None, 4, 8))
