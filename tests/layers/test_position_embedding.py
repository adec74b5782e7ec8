from __future__ import annotations

import numpy as np
import pytest

from keras_vit.layers import PositionEmbedding
from tests.contract import check_layer, example, to_numpy


def test_position_embedding_keeps_the_layer_contract():
    check_layer(PositionEmbedding, (2, 5, 8), (2, 5, 8))


def test_position_embedding_adds_the_same_table_to_each_image():
    layer = PositionEmbedding()
    tokens = example((3, 5, 8))
    outputs = to_numpy(layer(tokens))
    np.testing.assert_allclose(outputs, tokens + to_numpy(layer.table), atol=1e-6)


def test_positions_start_with_standard_deviation_0_02():
    layer = PositionEmbedding()
    layer.build((None, 100, 100))
    table = to_numpy(layer.table)
    np.testing.assert_allclose([table.mean(), table.std()], [0, 0.02], atol=1e-3)


def test_positions_are_not_truncated():
    layer = PositionEmbedding()
    layer.build((None, 100, 100))
    assert abs(to_numpy(layer.table)).max() > 3 * 0.02


def test_position_embedding_rejects_an_unknown_length():
    with pytest.raises(ValueError, match="Fix the image size"):
        PositionEmbedding().build((None, None, 8))


def test_position_embedding_rejects_inputs_that_are_not_of_rank_3():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 3"):
        PositionEmbedding().build((None, 8))
