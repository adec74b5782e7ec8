from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from keras_vit.layers import SinCosPositionEmbedding
from tests.contract import check_layer, example, to_numpy


@pytest.mark.parametrize(
    ("options", "length"),
    [({}, 6), ({"num_prefix_tokens": 2, "use_endpoint": False}, 8)],
)
def test_sincos_positions_keep_the_layer_contract(options, length):
    make = partial(SinCosPositionEmbedding, (2, 3), **options)
    check_layer(make, (2, length, 12), (2, length, 12))


@pytest.mark.parametrize(("use_endpoint", "steps"), [(True, 2), (False, 3)])
def test_sincos_positions_equal_the_formula(use_endpoint, steps):
    layer = SinCosPositionEmbedding(
        (2, 3),
        num_prefix_tokens=1,
        temperature=100.0,
        use_endpoint=use_endpoint,
    )
    rows = [[0.0] * 12]
    for y in range(2):
        for x in range(3):
            speeds = [100.0 ** (-m / steps) for m in range(3)]
            rows.append(
                [
                    function(place * speed)
                    for place in (x, y)
                    for function in (math.sin, math.cos)
                    for speed in speeds
                ]
            )
    tokens = example((2, 7, 12))
    np.testing.assert_allclose(to_numpy(layer(tokens)), tokens + rows, atol=1e-5)


def test_the_prefix_gets_nothing():
    tokens = example((2, 8, 12))
    found = to_numpy(SinCosPositionEmbedding((2, 3), num_prefix_tokens=2)(tokens))
    np.testing.assert_array_equal(found[:, :2], tokens[:, :2])


def test_one_frequency_is_enough_for_the_smallest_width():
    found = to_numpy(SinCosPositionEmbedding((1, 2))(np.zeros((1, 2, 4), "float32")))
    expected = [[0, 1, 0, 1], [math.sin(1), math.cos(1), 0, 1]]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_sincos_positions_have_no_weights():
    layer = SinCosPositionEmbedding((2, 3))
    layer.build((None, 6, 12))
    assert layer.weights == []


@pytest.mark.parametrize("shape", [(None, 5, 12), (None, 6, 10)])
def test_sincos_positions_reject_another_length_or_width(shape):
    with pytest.raises(ValueError, match="for 6 tokens .*Make it with the grid_size"):
        SinCosPositionEmbedding((2, 3)).build(shape)


def test_sincos_positions_reject_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        SinCosPositionEmbedding((2, 3)).build((None, 8))


# Images of any size


def make_free(**options: Any) -> SinCosPositionEmbedding:
    options = {"patch_size": (4, 2), "num_prefix_tokens": 3, **options}
    return SinCosPositionEmbedding(**options)


def test_sincos_positions_of_any_size_keep_the_layer_contract():
    check_layer(make_free, [(2, 3 + 2 * 4, 8), (2, 8, 8, 3)], (2, 3 + 2 * 4, 8))


@pytest.mark.parametrize("use_endpoint", [True, False])
@pytest.mark.parametrize("image", [(8, 8), (13, 11)])
def test_positions_are_those_of_the_layer_for_one_size(image, use_endpoint):
    grid = image[0] // 4, image[1] // 2
    tokens = example((2, 3 + grid[0] * grid[1], 8))
    options = {"num_prefix_tokens": 3, "use_endpoint": use_endpoint}
    fixed = SinCosPositionEmbedding(grid, **options)
    np.testing.assert_allclose(
        to_numpy(make_free(**options)(tokens, example((2, *image, 3)))),
        to_numpy(fixed(tokens)),
        atol=1e-6,
    )


def test_the_width_is_a_multiple_of_4():
    with pytest.raises(ValueError, match="multiple of 4"):
        make_free().build((2, 11, 6), (2, 8, 8, 3))


@pytest.mark.parametrize(
    "options", [{}, {"grid_size": (2, 3), "patch_size": (4, 2)}], ids=["none", "both"]
)
def test_sincos_positions_need_a_grid_or_a_patch_size(options):
    with pytest.raises(ValueError, match="or patch_size for .*Pass one of the two"):
        SinCosPositionEmbedding(**options)
