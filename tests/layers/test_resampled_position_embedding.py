from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from keras_vit.checkpoints import resample
from keras_vit.layers.partial_position_embedding import PartialPositionEmbedding
from keras_vit.layers.position_embedding import PositionEmbedding
from keras_vit.layers.resampled_position_embedding import (
    ResampledPositionEmbedding,
    resize_matrix,
)
from tests.contract import check_layer, example, set_random_weights, to_numpy


def make(**kwargs):
    return ResampledPositionEmbedding((3, 5), (4, 2), 3, 1, **kwargs)


def test_contract():
    check_layer(make, [(2, 3 + 2 * 4, 8), (2, 8, 8, 3)], (2, 3 + 2 * 4, 8))


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


@pytest.mark.parametrize("image", [(12, 10), (8, 8), (24, 30), (13, 11), (4, 2)])
def test_positions_are_those_of_loading(image):
    layer = make()
    grid = image[0] // 4, image[1] // 2
    tokens = np.zeros((2, 3 + grid[0] * grid[1], 8), "float32")
    images = np.zeros((2, *image, 3), "float32")
    layer(tokens, images)
    set_random_weights(layer, scale=1.0)
    table = ops.convert_to_numpy(layer.table.value)
    table = resample.resample_positions(table, (3, 5), grid)
    expected = np.insert(table, [1, 1], 0, axis=1).repeat(2, axis=0)
    np.testing.assert_allclose(to_numpy(layer(tokens, images)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "other"),
    [(2, PositionEmbedding()), (1, PartialPositionEmbedding(2, 1))],
)
def test_on_its_own_grid_it_is_the_layer_for_one_size(rows, other):
    layer = ResampledPositionEmbedding((2, 3), (4, 4), 2, rows)
    tokens, images = example((2, 8, 4)), example((2, 8, 12, 3))
    layer(tokens, images), other(tokens)
    set_random_weights(layer), set_random_weights(other)
    np.testing.assert_allclose(
        to_numpy(layer(tokens, images)), to_numpy(other(tokens)), atol=1e-7
    )


def test_the_table_is_resampled_in_full_precision():
    layer = make(dtype="mixed_bfloat16")
    tokens, images = np.zeros((1, 3 + 2 * 4, 8)), np.zeros((1, 8, 8, 3))
    layer(tokens, images)
    set_random_weights(layer)
    table = ops.convert_to_numpy(layer.table.value)
    table = resample.resample_positions(table, (3, 5), (2, 4))
    expected = to_numpy(ops.cast(np.insert(table, [1, 1], 0, axis=1), "bfloat16"))
    np.testing.assert_allclose(
        to_numpy(layer(tokens, images)), expected, rtol=2**-7, atol=1e-7
    )


@pytest.mark.parametrize(("prefix", "rows"), [(1, 2), (0, -1)])
def test_rows_belong_to_tokens(prefix, rows):
    with pytest.raises(ValueError, match="from 0 to num_prefix_tokens"):
        ResampledPositionEmbedding((2, 2), (4, 4), prefix, rows)


@pytest.mark.parametrize("shapes", [((2, 4), (2, 8, 8, 3)), ((2, 5, 4), (2, 8, 8))])
def test_inputs_of_another_rank_are_refused(shapes):
    with pytest.raises(ValueError, match="takes inputs of shape"):
        make().build(*shapes)
