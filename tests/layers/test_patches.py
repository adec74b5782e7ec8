from __future__ import annotations

from functools import partial

import keras
import numpy as np
import pytest

from keras_vit.layers import Patches
from tests.contract import check_layer, example, to_numpy


@pytest.mark.parametrize(
    ("patch_size", "input_shape", "output_shape"),
    [
        (4, (2, 8, 12, 3), (2, 6, 48)),
        ((2, 4), (2, 8, 12, 1), (2, 12, 8)),
        (4, (2, 11, 9, 3), (2, 4, 48)),
        (8, (2, 8, 8, 5), (2, 1, 320)),
    ],
)
def test_patches_keep_the_layer_contract(patch_size, input_shape, output_shape):
    check_layer(partial(Patches, patch_size), input_shape, output_shape)


def test_patches_reassemble_to_the_image():
    images = example((2, 8, 12, 3))
    patches = to_numpy(Patches((4, 3))(images))
    grid = patches.reshape(2, 2, 4, 4, 3, 3)  # (B, rows, columns, P, P, C)
    np.testing.assert_array_equal(
        grid.transpose(0, 1, 3, 2, 4, 5).reshape(2, 8, 12, 3), images
    )


def test_patches_keep_row_major_order():
    images = example((2, 8, 12, 3))
    patches = to_numpy(Patches(4)(images))
    expected = [
        images[:, row : row + 4, column : column + 4].reshape(2, -1)
        for row in (0, 4)
        for column in (0, 4, 8)
    ]
    np.testing.assert_array_equal(patches, np.stack(expected, axis=1))


def test_patches_drop_border_pixels():
    images = example((2, 11, 14, 3))
    np.testing.assert_array_equal(
        to_numpy(Patches(4)(images)), to_numpy(Patches(4)(images[:, :8, :12]))
    )


def test_projected_patches_equal_a_strided_convolution():
    images, kernel = example((2, 9, 13, 3)), example((4, 4, 3, 5), seed=2)
    convolved = keras.ops.conv(
        images, kernel, strides=4, padding="valid", data_format="channels_last"
    )
    projected = to_numpy(Patches(4)(images)) @ kernel.reshape(-1, 5)
    np.testing.assert_allclose(
        projected, to_numpy(convolved).reshape(2, -1, 5), atol=1e-4
    )


def test_patches_take_images_of_unknown_size():
    inputs = keras.Input((None, None, 3))
    outputs = Patches(4)(inputs)
    assert tuple(outputs.shape) == (None, None, 48)
    model = keras.Model(inputs, outputs)
    shapes = [
        model.predict(example(size), verbose=0).shape
        for size in ((2, 8, 12, 3), (3, 9, 9, 3))
    ]
    assert shapes == [(2, 6, 48), (3, 4, 48)]


@pytest.mark.parametrize(
    ("patch_size", "message"),
    [
        (0, "at least 1, received patch_size=0"),
        ((4, 0), "at least 1, received patch_size=0"),
        ((4, 4, 4), r"one number of pixels or \(height, width\)"),
    ],
)
def test_patches_reject_a_bad_patch_size(patch_size, message):
    with pytest.raises(ValueError, match=message):
        Patches(patch_size)
    with pytest.raises(TypeError, match="patch_size must be a whole number"):
        Patches("4")


def test_patches_reject_images_that_are_not_of_rank_4():
    with pytest.raises(ValueError, match="Reshape the inputs to rank 4"):
        Patches(4).build((None, 8, 8))


@pytest.mark.parametrize("size", [(3, 8), (8, 3)])
def test_patches_reject_images_smaller_than_a_patch(size):
    shape = f"{size[0]}, {size[1]}, 3"
    with pytest.raises(ValueError, match=rf"None, {shape}\).*Use larger images"):
        Patches(4).build((None, *size, 3))
