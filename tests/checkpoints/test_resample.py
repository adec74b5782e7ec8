"""Position tables and patch kernels of other sizes, compared with timm and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_vit.checkpoints.entries import patch_kernel
from keras_vit.checkpoints.resample import (
    adapt_channels,
    resample_patch_kernel,
    resample_positions,
    resize_matrix,
)
from tests.contract import example
from tests.peers import import_timm

KERNELS = [
    (interpolation, antialias)
    for interpolation in ("bicubic", "bilinear")
    for antialias in (True, False)
]
GRIDS = [((4, 4), (7, 5)), ((7, 5), (3, 4)), ((3, 6), (6, 3)), ((14, 14), (16, 9))]


def tensor(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array)


@pytest.mark.parametrize(("interpolation", "antialias"), KERNELS)
@pytest.mark.parametrize(("old", "new"), [(4, 9), (9, 4), (16, 7), (5, 5), (3, 1)])
def test_matrices_are_what_torch_applies(old, new, interpolation, antialias):
    import torch

    with torch.device("cpu"):
        identity = torch.eye(old)[None, :, :, None].expand(-1, -1, -1, 3)
        expected = torch.nn.functional.interpolate(
            identity, size=(new, 3), mode=interpolation, antialias=antialias
        )[0, :, :, 1]
    matrix = resize_matrix(old, new, interpolation, antialias)
    np.testing.assert_allclose(matrix, expected.numpy().T, atol=1e-6)


@pytest.mark.parametrize(("interpolation", "antialias"), KERNELS)
@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize(("old", "new"), GRIDS)
def test_positions_are_those_of_timm(old, new, prefix, interpolation, antialias):
    import_timm()
    from timm.layers import resample_abs_pos_embed

    table = example((1, prefix + old[0] * old[1], 8))
    expected = resample_abs_pos_embed(
        tensor(table),
        new_size=list(new),
        old_size=list(old),
        num_prefix_tokens=prefix,
        interpolation=interpolation,
        antialias=antialias,
    )
    resampled = resample_positions(table, old, new, interpolation, antialias)
    assert resampled.dtype == np.float32
    np.testing.assert_allclose(resampled, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(("interpolation", "antialias"), KERNELS)
@pytest.mark.parametrize(
    ("old", "new"),
    [((4, 4), (8, 8)), ((8, 8), (5, 5)), ((6, 4), (4, 6)), ((16, 16), (14, 14))],
)
def test_patch_kernels_are_those_of_timm(old, new, interpolation, antialias):
    import_timm()
    from timm.layers import resample_patch_embed

    theirs = example((8, 3, *old))
    expected = resample_patch_embed(
        tensor(theirs), list(new), interpolation=interpolation, antialias=antialias
    )
    kernel = resample_patch_kernel(
        patch_kernel(old, 3).load(theirs), old, new, interpolation, antialias
    )
    ours = patch_kernel(new, 3).store(kernel)
    scale = abs(expected.numpy()).max()
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5 * scale)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 7])
def test_channels_are_adapted_as_timm_does(channels):
    import_timm()
    from timm.models import adapt_input_conv

    theirs = example((8, 3, 4, 2))
    expected = adapt_input_conv(channels, tensor(theirs)).numpy()
    kernel = adapt_channels(patch_kernel((4, 2), 3).load(theirs), (4, 2), channels)
    ours = patch_kernel((4, 2), channels).store(kernel)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_the_same_size_changes_nothing():
    table, kernel = example((1, 7, 4)), example((48, 4))
    assert resample_positions(table, (2, 3), (2, 3)) is table
    assert resample_patch_kernel(kernel, (4, 4), (4, 4)) is kernel
    assert adapt_channels(kernel, (4, 4), 3) is kernel


def test_a_grid_of_another_form_is_resampled_though_it_has_as_many_patches():
    table = example((1, 1 + 12, 4))
    resampled = resample_positions(table, (3, 4), (4, 3))
    assert resampled.shape == table.shape
    np.testing.assert_array_equal(resampled[:, :1], table[:, :1])
    assert abs(resampled - table).max() > 0.1


def test_rows_of_matrices_sum_to_one():
    for interpolation, antialias in KERNELS:
        matrix = resize_matrix(7, 12, interpolation, antialias)
        np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(ValueError, match="'bicubic' or 'bilinear'"):
        resize_matrix(3, 4, "area")
