from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from keras import ops

from keras_vit.layers import RotaryPositions
from keras_vit.layers.positions.rotary_positions import KINDS
from keras_vit.layers.positions.rotation import rotate
from tests.contract import check_layer, example, set_random_weights, to_numpy

# Axial


def axial_angles(rows: int, columns: int, **options: Any) -> np.ndarray:
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
    make = partial(RotaryPositions, 8, (4, 2), **options)
    check_layer(make, (3, 8, 6, 1), (2, length, 1, 8))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_axial_positions_equal_the_formula(options):
    layer = RotaryPositions(8, (4, 2), **options)
    expected = table(
        axial_angles(2, 3, **options), options.get("layout", "interleaved")
    )
    found = to_numpy(layer(example((1, 9, 7, 1))))  # the border is dropped
    np.testing.assert_allclose(found, expected, atol=1e-5)


def scores(layer: RotaryPositions) -> np.ndarray:
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
    products = scores(RotaryPositions(8, (2, 2), layout=layout, offset=offset))
    grid = products.reshape(3, 3, 3, 3)  # row, column of the query, then of the key
    np.testing.assert_allclose(grid[0, 0, 1, 1], grid[1, 1, 2, 2], atol=1e-5)
    np.testing.assert_allclose(grid[1, 0, 0, 2], grid[2, 0, 1, 2], atol=1e-5)
    np.testing.assert_allclose(np.diag(products), products[0, 0], atol=1e-5)


def test_an_offset_changes_no_score():
    near, far = (RotaryPositions(8, (2, 2), offset=offset) for offset in (0, 5))
    np.testing.assert_allclose(scores(near), scores(far), atol=1e-5)


def test_tokens_before_the_patches_are_not_rotated():
    layer = RotaryPositions(8, (2, 2), num_prefix_tokens=3, offset=1.0)
    rotation = layer(np.zeros((1, 4, 4, 1), "float32"))
    x = example((2, 7, 2, 8))
    found = to_numpy(rotate(ops.convert_to_tensor(x), rotation, "interleaved"))
    np.testing.assert_array_equal(found[:, :3], x[:, :3])
    assert (found[:, 3:] != x[:, 3:]).any()


def test_a_reference_grid_makes_the_borders_of_each_size_alike():
    layer = RotaryPositions(8, (1, 1), reference_grid=(4, 4))
    small, large = (
        to_numpy(layer(np.zeros((1, n, n, 1), "float32"))).reshape(2, n, n, 8)
        for n in (2, 4)
    )
    np.testing.assert_allclose(small[:, 1, 1], large[:, 2, 2], atol=1e-6)


def test_the_length_is_unknown_where_the_image_size_is():
    layer = RotaryPositions(8, (2, 2), num_prefix_tokens=1)
    assert layer.compute_output_shape((None, None, 4, 3)) == (2, None, 1, 8)


# Centred


def make_centred(patch_size: tuple[int, int], **options: Any) -> RotaryPositions:
    options = {"temperature": 100.0, "layout": "half", **options}
    return RotaryPositions(8, patch_size, kind="centred", **options)


def centred_table(
    rows: int, columns: int, temperature: float, prefix: int
) -> np.ndarray:
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
    make = partial(make_centred, (4, 2), **options)
    check_layer(make, (3, 8, 6, 1), (2, length, 1, 8))


@pytest.mark.parametrize(("temperature", "prefix"), [(100.0, 0), (10.0, 5)])
def test_centred_positions_equal_the_formula(temperature, prefix):
    layer = make_centred((4, 2), num_prefix_tokens=prefix, temperature=temperature)
    np.testing.assert_allclose(
        to_numpy(layer(example((1, 8, 6, 1)))),
        centred_table(2, 3, temperature, prefix),
        atol=1e-5,
    )


def test_the_middle_of_each_image_is_not_rotated():
    layer = make_centred((1, 1))
    for size in (3, 5):
        rotation = layer(np.zeros((1, size, size, 1), "float32"))
        x = example((1, size * size, 1, 8))
        found = to_numpy(rotate(ops.convert_to_tensor(x), rotation, "half"))
        middle = size * size // 2
        np.testing.assert_allclose(found[:, middle], x[:, middle], atol=1e-6)


def test_scores_of_centred_positions_depend_on_the_relative_position_only():
    rotation = make_centred((1, 1))(np.zeros((1, 3, 3, 1), "float32"))
    query, key = (
        to_numpy(rotate(ops.repeat(x, 9, axis=1), rotation, "half"))[0, :, 0]
        for x in (example((1, 1, 1, 8), seed=1), example((1, 1, 1, 8), seed=2))
    )
    grid = (query @ key.T).reshape(3, 3, 3, 3)
    np.testing.assert_allclose(grid[0, 0, 1, 1], grid[1, 1, 2, 2], atol=1e-5)
    np.testing.assert_allclose(grid[1, 0, 0, 2], grid[2, 0, 1, 2], atol=1e-5)


@pytest.mark.parametrize("layout", ["interleaved", "half"])
def test_centred_positions_have_the_layout_that_is_asked_for(layout):
    images = np.zeros((1, 3, 4, 1), "float32")
    rotation = make_centred((1, 1), layout=layout)(images)
    other = make_centred((1, 1))(images)
    angles = to_numpy(other)[..., :4]  # of "half", each pair once
    expected = {
        "half": np.concatenate([angles, angles], axis=-1),
        "interleaved": np.repeat(angles, 2, axis=-1),
    }[layout]
    np.testing.assert_array_equal(to_numpy(rotation), expected)


# Mixed

IMAGES = np.zeros((1, 4, 6, 3), "float32")


def make_mixed(patch_size: tuple[int, int], **options: Any) -> RotaryPositions:
    options = {"kind": "mixed", "num_heads": 2, "temperature": 10.0, **options}
    return RotaryPositions(8, patch_size, **options)


def built_mixed(**options: Any) -> RotaryPositions:
    layer = make_mixed((2, 2), **options)
    layer.build(IMAGES.shape)
    return layer


@pytest.mark.parametrize("prefix", [0, 1])
def test_mixed_positions_keep_the_layer_contract(prefix):
    make = partial(make_mixed, (4, 2), num_prefix_tokens=prefix)
    check_layer(make, (3, 8, 6, 1), (2, 6 + prefix, 2, 8))


def test_mixed_positions_equal_the_formula():
    layer = built_mixed(num_prefix_tokens=1)
    set_random_weights(layer, scale=1.0)
    speed_x, speed_y = to_numpy(layer.frequencies)  # (heads, 4) each
    angles = [np.zeros((2, 4))]
    for row in range(2):
        angles += [column * speed_x + row * speed_y for column in range(3)]
    angles = np.repeat(angles, 2, axis=-1)
    expected = np.stack([np.cos(angles), np.sin(angles)])
    np.testing.assert_allclose(to_numpy(layer(IMAGES)), expected, atol=1e-5)


def test_scores_of_mixed_positions_depend_on_the_relative_position_only():
    rotation = built_mixed()(np.zeros((1, 6, 6, 3), "float32"))
    query, key = (
        to_numpy(rotate(ops.repeat(x, 9, axis=1), rotation, "interleaved"))[0]
        for x in (example((1, 1, 2, 8), seed=1), example((1, 1, 2, 8), seed=2))
    )
    grid = np.einsum("qhd,khd->hqk", query, key).reshape(2, 3, 3, 3, 3)
    np.testing.assert_allclose(grid[:, 0, 0, 1, 1], grid[:, 1, 1, 2, 2], atol=1e-4)
    np.testing.assert_allclose(grid[:, 1, 0, 0, 2], grid[:, 2, 0, 1, 2], atol=1e-4)


def test_frequencies_start_as_the_axial_ones_turned_by_an_angle_per_head():
    x, y = to_numpy(built_mixed(temperature=100.0).frequencies)  # (heads, 4)
    speeds = np.tile([1.0, 0.1], 2)
    np.testing.assert_allclose(np.hypot(x, y), np.stack([speeds] * 2), rtol=1e-5)
    # The second half turns with the axis at a right angle to that of the first.
    products = x[:, :2] * x[:, 2:] + y[:, :2] * y[:, 2:]
    np.testing.assert_allclose(products, 0, atol=1e-6)
    assert abs(x[0] - x[1]).max() > 1e-3


# Errors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head_dim", [6, 0])
def test_rotary_positions_reject_a_head_without_pairs(head_dim, kind):
    with pytest.raises(ValueError, match=f"received head_dim={head_dim}. Choose hidd"):
        RotaryPositions(head_dim, (2, 2), kind)


def test_rotary_positions_reject_an_unknown_kind():
    with pytest.raises(ValueError, match=r"'centred', 'mixed'\], received kind='both'"):
        RotaryPositions(8, (2, 2), kind="both")


def test_rotary_positions_reject_an_unknown_order():
    with pytest.raises(ValueError, match="received order='ij'. Check the spelling"):
        RotaryPositions(8, (2, 2), order="ij")


def test_rotary_positions_reject_an_unknown_layout():
    with pytest.raises(ValueError, match="layout='pairs'. It says which channels"):
        RotaryPositions(8, (2, 2), layout="pairs")


@pytest.mark.parametrize("kind", KINDS)
def test_rotary_positions_reject_inputs_that_are_no_images(kind):
    with pytest.raises(ValueError, match="Reshape the inputs to rank 4"):
        RotaryPositions(8, (2, 2), kind).build((None, 4, 8))
