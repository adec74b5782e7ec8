from __future__ import annotations

import numpy as np
import pytest

from keras_vit.layers.free_sincos_position_embedding import FreeSinCosPositionEmbedding
from keras_vit.layers.sincos_position_embedding import SinCosPositionEmbedding
from tests.contract import check_layer, example, to_numpy


def make(**kwargs):
    return FreeSinCosPositionEmbedding((4, 2), 3, **kwargs)


def test_contract():
    check_layer(make, [(2, 3 + 2 * 4, 8), (2, 8, 8, 3)], (2, 3 + 2 * 4, 8))


@pytest.mark.parametrize("use_endpoint", [True, False])
@pytest.mark.parametrize("image", [(8, 8), (13, 11)])
def test_positions_are_those_of_the_layer_for_one_size(image, use_endpoint):
    grid = image[0] // 4, image[1] // 2
    tokens = example((2, 3 + grid[0] * grid[1], 8))
    fixed = SinCosPositionEmbedding(grid, 3, use_endpoint=use_endpoint)
    np.testing.assert_allclose(
        to_numpy(make(use_endpoint=use_endpoint)(tokens, example((2, *image, 3)))),
        to_numpy(fixed(tokens)),
        atol=1e-6,
    )


def test_the_width_is_a_multiple_of_4():
    with pytest.raises(ValueError, match="multiple of 4"):
        make().build((2, 11, 6), (2, 8, 8, 3))
