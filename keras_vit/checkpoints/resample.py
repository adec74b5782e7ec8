"""Resample position tables and patch kernels to another size, with numpy.

Shapes: N patches, P patch size, C channels, D hidden.
"""

from __future__ import annotations

import math

import numpy as np


def resize_matrix(
    old: int, new: int, interpolation: str = "bicubic", antialias: bool = True
) -> np.ndarray:
    """Return the matrix (new, old) that resamples one axis as torch does.

    Args:
        old: length of the axis.
        new: length after resampling.
        interpolation: "bicubic", "bilinear", or "bilinear_corners", which maps the
            first and last element onto themselves and has no antialias.
        antialias: whether the kernel grows when the axis shrinks. Bicubic kernels are
            Keys' with a = -0.5 then, a = -0.75 otherwise.

    Reference: torch.nn.functional.interpolate; align_corners=True is
    "bilinear_corners".
    """
    if interpolation not in ("bicubic", "bilinear", "bilinear_corners"):
        raise ValueError(
            "interpolation must be 'bicubic', 'bilinear' or 'bilinear_corners', "
            f"received interpolation={interpolation!r}."
        )
    if interpolation == "bilinear_corners":
        places = np.arange(new) * ((old - 1) / max(new - 1, 1))
        return np.clip(1 - abs(places[:, None] - np.arange(old)), 0, None)
    matrix = np.zeros((new, old))
    radius = 2 if interpolation == "bicubic" else 1
    scale = old / new
    for i in range(new):
        centre = (i + 0.5) * scale
        if antialias:
            width = max(scale, 1.0)
            low = max(0, int(centre - radius * width + 0.5))
            high = min(old, int(centre + radius * width + 0.5))
            taps = np.arange(low, high)
            weights = _kernel((taps - centre + 0.5) / width, interpolation, -0.5)
            matrix[i, low:high] = weights / weights.sum()
            continue
        first = math.floor(centre - 0.5)
        for tap in range(first - radius + 1, first + radius + 1):
            weight = _kernel(np.asarray(tap + 0.5 - centre), interpolation, -0.75)
            # Taps beyond the border read the border.
            matrix[i, min(max(tap, 0), old - 1)] += weight
    return matrix


def resample_positions(
    table: np.ndarray,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    interpolation: str = "bicubic",
    antialias: bool = True,
) -> np.ndarray:
    """Resample a position table to another grid of patches.

    Args:
        table: (1, K + N, D); the K rows of the tokens before the patches stay.
        old_grid: (rows, columns) of the table, N in all.
        new_grid: (rows, columns) wanted.
        interpolation: see `resize_matrix`.
        antialias: see `resize_matrix`.

    Returns:
        (1, K + new N, D), float32.
    """
    if tuple(old_grid) == tuple(new_grid):
        return table
    count = old_grid[0] * old_grid[1]
    prefix, patches = table[:, : -count or None], table[0, -count:]
    if table.shape[1] == count:
        prefix = table[:, :0]
    grid = patches.reshape(*old_grid, -1).astype("float64")
    vertical, horizontal = (
        resize_matrix(old, new, interpolation, antialias)
        for old, new in zip(old_grid, new_grid, strict=True)
    )
    grid = np.einsum("yr,rcd->ycd", vertical, grid)
    grid = np.einsum("xc,ycd->yxd", horizontal, grid)
    patches = grid.reshape(1, -1, table.shape[-1]).astype("float32")
    return np.concatenate([prefix.astype("float32"), patches], axis=1)


def resample_and_crop(
    table: np.ndarray,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    interpolation: str = "bilinear",
    antialias: bool = False,
) -> np.ndarray:
    """Resample positions to the square around another grid, and keep its top left.

    Args:
        table: (1, N, D), without rows for other tokens.
        old_grid: see `resample_positions`.
        new_grid: see `resample_positions`.
        interpolation: see `resize_matrix`.
        antialias: see `resize_matrix`.

    Returns:
        (1, new N, D), float32.

    Reference: transformers 5.23, models/radio/modeling_radio.py.
    """
    side, (height, width) = max(new_grid), new_grid
    square = resample_positions(table, old_grid, (side, side), interpolation, antialias)
    grid = square.reshape(1, side, side, -1)[:, :height, :width]
    return grid.reshape(1, height * width, -1)


def resample_patch_kernel(
    kernel: np.ndarray,
    old_size: tuple[int, int],
    new_size: tuple[int, int],
    interpolation: str = "bicubic",
    antialias: bool = True,
) -> np.ndarray:
    """Return a kernel for patches of another size, by FlexiViT's pseudo-inverse.

    For patches that were enlarged by resampling the new kernel gives the same tokens
    as the old one for the originals.

    Args:
        kernel: (P * P * C, D), rows first.
        old_size: patch size of the kernel, (height, width).
        new_size: patch size wanted.
        interpolation: see `resize_matrix`.
        antialias: see `resize_matrix`.

    Reference: arXiv:2212.08013, equation 3.
    """
    if tuple(old_size) == tuple(new_size):
        return kernel
    vertical, horizontal = (
        resize_matrix(old, new, interpolation, antialias)
        for old, new in zip(old_size, new_size, strict=True)
    )
    inverse = np.linalg.pinv(np.kron(vertical, horizontal).T)  # (new P * P, P * P)
    width = kernel.shape[-1]
    values = kernel.reshape(old_size[0] * old_size[1], -1).astype("float64")
    return (inverse @ values).reshape(-1, width).astype("float32")


def adapt_channels(
    kernel: np.ndarray, patch_size: tuple[int, int], channels: int
) -> np.ndarray:
    """Return a kernel for images with another number of channels, as timm does.

    One channel gets the sum of all; more repeat them in turn, scaled so that the
    tokens keep their size.

    Args:
        kernel: (P * P * C, D).
        patch_size: (height, width).
        channels: number wanted.
    """
    width = kernel.shape[-1]
    values = kernel.reshape(patch_size[0] * patch_size[1], -1, width)
    old = values.shape[1]
    if old == channels:
        return kernel
    values = values.astype("float32")
    if channels == 1:
        values = values.sum(axis=1, keepdims=True)
    else:
        values = np.take(values, np.arange(channels) % old, axis=1) * (old / channels)
    return values.reshape(-1, width).astype("float32")


def _kernel(x: np.ndarray, interpolation: str, a: float) -> np.ndarray:
    x = np.abs(x)
    if interpolation == "bilinear":
        return np.clip(1 - x, 0, None)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
