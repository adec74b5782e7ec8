from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_vit.checkpoints import resample
from keras_vit.layers import GridPositionEmbedding, PositionEmbedding
from tests.contract import check_layer, example, set_random_weights, to_numpy

# Images of one size

PREFIXES = [(0, 0), (1, 0), (3, 1), (3, 2), (2, 2)]


@pytest.mark.parametrize(("prefix", "rows"), PREFIXES)
def test_grid_positions_keep_the_layer_contract(prefix, rows):
    shape = (3, 4 + prefix, 8)
    check_layer(partial(GridPositionEmbedding, (2, 2), prefix, rows), shape, shape)


@pytest.mark.parametrize(("prefix", "rows"), PREFIXES)
def test_each_row_goes_to_its_token(prefix, rows):
    layer = GridPositionEmbedding((2, 2), prefix, rows)
    tokens = example((2, 4 + prefix, 8))
    layer.build(tokens.shape)
    set_random_weights(layer)
    table, expected = to_numpy(layer.table)[0], tokens.copy()
    assert len(table) == 4 + rows
    expected[:, :rows] += table[:rows]
    expected[:, prefix:] += table[rows:]
    np.testing.assert_allclose(to_numpy(layer(tokens)), expected, atol=1e-6)


def test_with_a_row_for_each_token_it_is_position_embedding():
    layer, same = GridPositionEmbedding((2, 3), 2, 2), PositionEmbedding()
    tokens = example((2, 8, 4))
    for each in (layer, same):
        each.build(tokens.shape)
    same.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(layer(tokens)), to_numpy(same(tokens)))


def test_grid_positions_start_with_standard_deviation_0_02():
    layer = GridPositionEmbedding((10, 10))
    layer.build((None, 100, 100))
    table = to_numpy(layer.table)
    np.testing.assert_allclose([table.mean(), table.std()], [0, 0.02], atol=1e-3)


def test_no_image_at_all_passes():
    layer = GridPositionEmbedding((1, 3), 2, 1)
    layer.build((None, 5, 8))
    assert tuple(layer(np.zeros((0, 5, 8), "float32")).shape) == (0, 5, 8)


def test_the_length_may_be_unknown():
    layer = GridPositionEmbedding((2, 2), 1)
    inputs = keras.Input((None, 8))
    model = keras.Model(inputs, layer(inputs))
    tokens = example((2, 5, 8))
    np.testing.assert_array_equal(to_numpy(model(tokens)), to_numpy(layer(tokens)))


@pytest.mark.parametrize(("prefix", "rows"), [(1, 2), (2, 3), (2, -1), (0, -1)])
def test_rows_belong_to_tokens(prefix, rows):
    with pytest.raises(ValueError, match="from 0 to num_prefix_tokens.*Only a token"):
        GridPositionEmbedding((2, 2), prefix, rows)


@pytest.mark.parametrize("length", [4, 6])
def test_grid_positions_reject_another_length(length):
    with pytest.raises(ValueError, match="for 5 tokens.*Make it with the grid_size"):
        GridPositionEmbedding((2, 2), 1).build((None, length, 8))


def test_grid_positions_reject_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        GridPositionEmbedding((2, 2)).build((None, 8))


# Images of any size


def make(**kwargs: Any) -> GridPositionEmbedding:
    return GridPositionEmbedding((3, 5), 3, 1, patch_size=(4, 2), **kwargs)


def test_grid_positions_of_any_size_keep_the_layer_contract():
    check_layer(make, [(2, 3 + 2 * 4, 8), (2, 8, 8, 3)], (2, 3 + 2 * 4, 8))


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
    [(2, PositionEmbedding), (1, partial(GridPositionEmbedding, (2, 3), 2, 1))],
)
def test_on_its_own_grid_it_is_the_layer_for_one_size(rows, other):
    layer = GridPositionEmbedding((2, 3), 2, rows, patch_size=(4, 4))
    tokens, images, other = example((2, 8, 4)), example((2, 8, 12, 3)), other()
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


def test_inputs_of_another_rank_are_refused():
    with pytest.raises(ValueError, match="takes inputs of shape"):
        make().build((2, 4), (2, 8, 8, 3))
