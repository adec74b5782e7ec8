from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from keras import ops

from keras_vit.layers import CentredRotaryPositions
from keras_vit.layers.rotation import rotate
from tests.contract import check_layer, example, to_numpy


def reference(rows: int, columns: int, temperature: float, prefix: int) -> np.ndarray:
    """Compute the table (2, T, 1, 8) patch by patch."""
    angles = [np.zeros(4)] * prefix
    for row in range(rows):
        for column in range(columns):
            y, x = 2 * (row + 0.5) / rows - 1, 2 * (column + 0.5) / columns - 1
            angles.append(
                [
                    2 * math.pi * place / temperature ** (2 * m / 4)
                    for place in (y, x)
                    for m in range(2)
                ]
            )
    angles = np.concatenate([angles, angles], axis=1)[:, None]
    return np.stack([np.cos(angles), np.sin(angles)])


@pytest.mark.parametrize(
    ("options", "length"), [({}, 6), ({"num_prefix_tokens": 5}, 11)]
)
def test_centred_positions_keep_the_layer_contract(options, length):
    make = partial(CentredRotaryPositions, 8, (4, 2), **options)
    check_layer(make, (3, 8, 6, 1), (2, length, 1, 8))


@pytest.mark.parametrize(("temperature", "prefix"), [(100.0, 0), (10.0, 5)])
def test_centred_positions_equal_the_formula(temperature, prefix):
    layer = CentredRotaryPositions(8, (4, 2), prefix, temperature=temperature)
    np.testing.assert_allclose(
        to_numpy(layer(example((1, 8, 6, 1)))),
        reference(2, 3, temperature, prefix),
        atol=1e-5,
    )


def test_the_middle_of_each_image_is_not_rotated():
    layer = CentredRotaryPositions(8, (1, 1))
    for size in (3, 5):
        rotation = layer(np.zeros((1, size, size, 1), "float32"))
        x = example((1, size * size, 1, 8))
        found = to_numpy(rotate(ops.convert_to_tensor(x), rotation, "half"))
        middle = size * size // 2
        np.testing.assert_allclose(found[:, middle], x[:, middle], atol=1e-6)


def test_scores_depend_on_the_relative_position_only():
    rotation = CentredRotaryPositions(8, (1, 1))(np.zeros((1, 3, 3, 1), "float32"))
    query, key = (
        to_numpy(rotate(ops.repeat(x, 9, axis=1), rotation, "half"))[0, :, 0]
        for x in (example((1, 1, 1, 8), seed=1), example((1, 1, 1, 8), seed=2))
    )
    grid = (query @ key.T).reshape(3, 3, 3, 3)
    np.testing.assert_allclose(grid[0, 0, 1, 1], grid[1, 1, 2, 2], atol=1e-5)
    np.testing.assert_allclose(grid[1, 0, 0, 2], grid[2, 0, 1, 2], atol=1e-5)


def test_centred_positions_reject_a_head_without_pairs():
    with pytest.raises(ValueError, match="received head_dim=6. Choose hidden_dim and"):
        CentredRotaryPositions(6, (2, 2))


def test_centred_positions_reject_inputs_that_are_no_images():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 4"):
        CentredRotaryPositions(8, (2, 2)).build((None, 4, 8))
