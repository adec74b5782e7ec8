from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from keras import ops

from keras_vit.layers import AxialRotaryPositions
from keras_vit.layers.rotation import rotate
from tests.contract import check_layer, example, to_numpy


def reference(rows: int, columns: int, **options: Any) -> np.ndarray:
    """Compute the angles (T, d / 2) of d = 8 patch by patch."""
    offset = options.get("offset", 0.0)
    stretch = options.get("reference_grid") or (rows, columns)
    angles = []
    for row in range(rows):
        for column in range(columns):
            y = (row + offset) * stretch[0] / rows
            x = (column + offset) * stretch[1] / columns
            first, second = (y, x) if options.get("order", "yx") == "yx" else (x, y)
            speeds = [1.0, options.get("temperature", 10000.0) ** -0.5]
            angles.append([first * s for s in speeds] + [second * s for s in speeds])
    prefix = np.zeros((options.get("num_prefix_tokens", 0), 4))
    return np.concatenate([prefix, angles])


def table(angles: np.ndarray, layout: str) -> np.ndarray:
    """Return cosines and sines of all channels, (2, T, 1, d)."""
    pairs = {
        "interleaved": np.repeat(angles, 2, axis=-1),
        "half": np.concatenate([angles, angles], axis=-1),
    }[layout]
    return np.stack([np.cos(pairs), np.sin(pairs)])[:, :, None]


OPTIONS = [
    {},
    {"num_prefix_tokens": 2, "temperature": 100.0, "order": "xy"},
    {"offset": 1.0, "reference_grid": (4, 6), "layout": "half"},
    {"order": "xy", "reference_grid": (16, 16), "offset": 0.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_axial_positions_keep_the_layer_contract(options):
    length = 6 + options.get("num_prefix_tokens", 0)
    make = partial(AxialRotaryPositions, 8, (4, 2), **options)
    check_layer(make, (3, 8, 6, 1), (2, length, 1, 8))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_axial_positions_equal_the_formula(options):
    layer = AxialRotaryPositions(8, (4, 2), **options)
    expected = table(reference(2, 3, **options), options.get("layout", "interleaved"))
    found = to_numpy(layer(example((1, 9, 7, 1))))  # the border is dropped
    np.testing.assert_allclose(found, expected, atol=1e-5)


def scores(layer: AxialRotaryPositions) -> np.ndarray:
    """Return the products of equal queries and keys on a 3 x 3 grid, (9, 9)."""
    rotation = layer(np.zeros((1, 6, 6, 1), "float32"))
    query, key = (example((1, 1, 1, 8), seed=seed) for seed in (1, 2))
    query, key = (
        to_numpy(rotate(ops.repeat(x, 9, axis=1), rotation, layer.layout))[0, :, 0]
        for x in (query, key)
    )
    return query @ key.T


@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("offset", [0.0, 7.0])
def test_scores_depend_on_the_relative_position_only(layout, offset):
    products = scores(AxialRotaryPositions(8, (2, 2), layout=layout, offset=offset))
    grid = products.reshape(3, 3, 3, 3)  # row, column of the query, then of the key
    np.testing.assert_allclose(grid[0, 0, 1, 1], grid[1, 1, 2, 2], atol=1e-5)
    np.testing.assert_allclose(grid[1, 0, 0, 2], grid[2, 0, 1, 2], atol=1e-5)
    np.testing.assert_allclose(np.diag(products), products[0, 0], atol=1e-5)


def test_an_offset_changes_no_score():
    near, far = (AxialRotaryPositions(8, (2, 2), offset=offset) for offset in (0, 5))
    np.testing.assert_allclose(scores(near), scores(far), atol=1e-5)


def test_tokens_before_the_patches_are_not_rotated():
    layer = AxialRotaryPositions(8, (2, 2), num_prefix_tokens=3, offset=1.0)
    rotation = layer(np.zeros((1, 4, 4, 1), "float32"))
    x = example((2, 7, 2, 8))
    found = to_numpy(rotate(ops.convert_to_tensor(x), rotation, "interleaved"))
    np.testing.assert_array_equal(found[:, :3], x[:, :3])
    assert (found[:, 3:] != x[:, 3:]).any()


def test_a_reference_grid_makes_the_borders_of_each_size_alike():
    layer = AxialRotaryPositions(8, (1, 1), reference_grid=(4, 4))
    small, large = (
        to_numpy(layer(np.zeros((1, n, n, 1), "float32"))).reshape(2, n, n, 8)
        for n in (2, 4)
    )
    np.testing.assert_allclose(small[:, 1, 1], large[:, 2, 2], atol=1e-6)


def test_the_length_is_unknown_where_the_image_size_is():
    layer = AxialRotaryPositions(8, (2, 2), num_prefix_tokens=1)
    assert layer.compute_output_shape((None, None, 4, 3)) == (2, None, 1, 8)


@pytest.mark.parametrize("head_dim", [6, 0])
def test_axial_positions_reject_a_head_without_pairs(head_dim):
    with pytest.raises(ValueError, match=f"received head_dim={head_dim}. Choose hidd"):
        AxialRotaryPositions(head_dim, (2, 2))


def test_axial_positions_reject_an_unknown_order():
    with pytest.raises(ValueError, match="received order='ij'. Use 'yx' for rows"):
        AxialRotaryPositions(8, (2, 2), order="ij")


def test_axial_positions_reject_an_unknown_layout():
    with pytest.raises(ValueError, match="layout='pairs'. It says which channels"):
        AxialRotaryPositions(8, (2, 2), layout="pairs")


def test_axial_positions_reject_inputs_that_are_no_images():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 4"):
        AxialRotaryPositions(8, (2, 2)).build((None, 4, 8))
