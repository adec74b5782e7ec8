from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from keras_vit.layers import ClassRotation, RotaryPositions
from tests.contract import check_layer, example, set_random_weights, to_numpy


@pytest.mark.parametrize("layout", ["interleaved", "half"])
def test_class_rotation_keeps_the_layer_contract(layout):
    check_layer(partial(ClassRotation, layout), (2, 5, 1, 8), (2, 5, 1, 8))


@pytest.mark.parametrize("layout", ["interleaved", "half"])
def test_only_the_first_token_gets_the_learned_angles(layout):
    table = RotaryPositions(8, (2, 2), num_prefix_tokens=1, layout=layout)(
        example((1, 4, 4, 3))
    )
    layer = ClassRotation(layout)
    layer.build(table.shape)
    set_random_weights(layer, scale=1.0)
    before, after = to_numpy(table), to_numpy(layer(table))
    np.testing.assert_array_equal(after[:, 1:], before[:, 1:])
    angles = to_numpy(layer.angles)[0]
    repeated = {"half": np.tile(angles, 2), "interleaved": np.repeat(angles, 2)}[layout]
    expected = np.stack([np.cos(repeated), np.sin(repeated)])
    np.testing.assert_allclose(after[:, 0, 0], expected, atol=1e-6)


def test_class_rotation_rejects_an_unknown_layout():
    with pytest.raises(ValueError, match="take that of the checkpoint"):
        ClassRotation("spiral")


def test_class_rotation_rejects_what_is_no_table_of_rotations():
    with pytest.raises(ValueError, match="Call it on the output of RotaryPositions"):
        ClassRotation().build((2, 5, 8))
