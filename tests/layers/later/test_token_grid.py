from __future__ import annotations

import numpy as np
import pytest

from keras_vit.layers.later.token_grid import TokenGrid
from keras_vit.layers.patches import Patches
from tests.contract import check_layer, example, to_numpy


def test_contract():
    check_layer(
        lambda **kwargs: TokenGrid((4, 2), 3, **kwargs),
        [(2, 3 + 2 * 4, 8), (2, 8, 9, 3)],
        (2, 2, 4, 8),
    )


def test_patches_are_where_they_were_in_the_image():
    images = example((2, 8, 12, 3))
    grid = to_numpy(TokenGrid((4, 4))(Patches(4)(images), images))
    expected = images[1, 4:8, 8:12].reshape(-1)
    np.testing.assert_array_equal(grid[1, 1, 2], expected)


def test_unknown_sizes_stay_unknown():
    layer = TokenGrid((4, 2), 1)
    shape = layer.compute_output_shape((None, None, 8), (None, None, 6, 3))
    assert shape == (None, None, 3, 8)


@pytest.mark.parametrize("shapes", [((2, 4), (2, 8, 8, 3)), ((2, 5, 4), (2, 8, 8))])
def test_inputs_of_another_rank_are_refused(shapes):
    with pytest.raises(ValueError, match="takes inputs of shape"):
        TokenGrid((4, 4)).build(*shapes)
