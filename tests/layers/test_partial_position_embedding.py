from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import PartialPositionEmbedding
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize(("prefix", "rows"), [(1, 0), (3, 1), (3, 2)])
def test_partial_positions_keep_the_layer_contract(prefix, rows):
    check_layer(partial(PartialPositionEmbedding, prefix, rows), (2, 7, 8), (2, 7, 8))


@pytest.mark.parametrize(("prefix", "rows"), [(1, 0), (3, 1), (3, 2)])
def test_each_row_goes_to_its_token(prefix, rows):
    layer, tokens = PartialPositionEmbedding(prefix, rows), example((2, 7, 8))
    layer.build(tokens.shape)
    set_random_weights(layer)
    table, expected = to_numpy(layer.table)[0], tokens.copy()
    assert len(table) == 7 - prefix + rows
    expected[:, :rows] += table[:rows]
    expected[:, prefix:] += table[rows:]
    np.testing.assert_allclose(to_numpy(layer(tokens)), expected, atol=1e-6)


def test_no_image_at_all_passes():
    layer = PartialPositionEmbedding(2, 1)
    layer.build((None, 5, 8))
    assert tuple(layer(np.zeros((0, 5, 8), "float32")).shape) == (0, 5, 8)


@pytest.mark.parametrize(("prefix", "rows"), [(1, 1), (2, 3), (2, -1), (0, 0)])
def test_partial_positions_reject_rows_out_of_range(prefix, rows):
    with pytest.raises(ValueError, match="Use PositionEmbedding if each token has a"):
        PartialPositionEmbedding(prefix, rows)


def test_partial_positions_reject_an_unknown_length():
    with pytest.raises(ValueError, match="Fix the image size"):
        PartialPositionEmbedding(1).build((None, None, 8))


def test_partial_positions_reject_a_prefix_that_leaves_no_patch():
    with pytest.raises(ValueError, match="longer sequence or a smaller num_prefix"):
        PartialPositionEmbedding(5).build((None, 5, 8))


def test_partial_positions_reject_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        PartialPositionEmbedding(1).build((None, 8))
