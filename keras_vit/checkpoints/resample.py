"""Resample position tables and patch kernels to another size, with numpy.

Shapes: N patches, P patch size, C channels, D hidden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Resampling:
    """How the authors of a checkpoint fit its arrays to images of another size.

    Args:
        interpolation: "bicubic" or "bilinear".
        antialias: whether the kernel grows when an axis shrinks.
        align_corners: whether positions at the corners of the grid stay there; they
            are resampled bilinearly without antialias then.
        is_cut_from_square: whether positions are resampled to the square around the
            wanted grid, whose top left is kept.
    """

    interpolation: str = "bicubic"
    antialias: bool = True
    align_corners: bool = False
    is_cut_from_square: bool = False

    def __post_init__(self) -> None:
        _check_interpolation(self.interpolation)

    @classmethod
    def named(cls, name: str) -> Resampling:
        """Return what the option `resampling` of `ViTConfig` means."""
        interpolation, *kinds = name.split("_")
        return cls(
            interpolation,
            antialias="antialias" in kinds,
            align_corners="corners" in kinds,
            is_cut_from_square="square" in kinds,
        )

    @property
    def name(self) -> str:
        """What the option `resampling` of `ViTConfig` calls it."""
        kinds = {
            "antialias": self.antialias and not self.align_corners,
            "corners": self.align_corners,
            "square": self.is_cut_from_square,
        }
        return "_".join([self.interpolation, *(k for k, on in kinds.items() if on)])

    def positions(
        self, table: np.ndarray, old_grid: tuple[int, int], new_grid: tuple[int, int]
    ) -> np.ndarray:
        """Return a position table for another grid; see `resample_positions`."""
        height, width = grid = new_grid
        if self.is_cut_from_square:
            grid = (max(new_grid), max(new_grid))
        kind = self.interpolation, self.antialias, self.align_corners
        table = resample_positions(table, old_grid, grid, *kind)
        if grid == new_grid:
            return table
        dim, count = table.shape[-1], grid[0] * grid[1]
        prefix, square = table[:, :-count], table[:, -count:].reshape(1, *grid, dim)
        part = square[:, :height, :width].reshape(1, height * width, dim)
        return np.concatenate([prefix, part], axis=1)

    def patch_kernel(
        self, kernel: np.ndarray, old_size: tuple[int, int], new_size: tuple[int, int]
    ) -> np.ndarray:
        """Return a kernel for other patches; see `resample_patch_kernel`."""
        kind = self.interpolation, self.antialias
        return resample_patch_kernel(kernel, old_size, new_size, *kind)


def resize_matrix(
    old: int,
    new: int,
    interpolation: str = "bicubic",
    antialias: bool = True,
    align_corners: bool = False,
) -> np.ndarray:
    """Return the matrix (new, old) that resamples one axis as torch does.

    Args:
        old: length of the axis.
        new: length after resampling.
        interpolation: "bicubic" or "bilinear".
        antialias: whether the kernel grows when the axis shrinks. Bicubic kernels are
            Keys' with a = -0.5 then, a = -0.75 otherwise.
        align_corners: whether the first and the last element stay where they are;
            bilinear and without antialias, whatever these say. Default False.

    Reference: torch.nn.functional.interpolate, whose arguments have the same names.
    """
    _check_interpolation(interpolation)
    if align_corners:
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
    align_corners: bool = False,
) -> np.ndarray:
    """Resample a position table to another grid of patches.

    Args:
        table: (1, K + N, D); the K rows of the tokens before the patches stay.
        old_grid: (rows, columns) of the table, N in all.
        new_grid: (rows, columns) wanted.
        interpolation: see `resize_matrix`.
        antialias: see `resize_matrix`.
        align_corners: see `resize_matrix`.

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
        resize_matrix(old, new, interpolation, antialias, align_corners)
        for old, new in zip(old_grid, new_grid, strict=True)
    )
    grid = np.einsum("yr,rcd->ycd", vertical, grid)
    grid = np.einsum("xc,ycd->yxd", horizontal, grid)
    patches = grid.reshape(1, -1, table.shape[-1]).astype("float32")
    return np.concatenate([prefix.astype("float32"), patches], axis=1)


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


def _check_interpolation(interpolation: str) -> None:
    if interpolation not in ("bicubic", "bilinear"):
        raise ValueError(
            "interpolation must be 'bicubic' or 'bilinear', received interpolation="
            f"{interpolation!r}. Choose one of the two."
        )


def _kernel(x: np.ndarray, interpolation: str, a: float) -> np.ndarray:
    x = np.abs(x)
    if interpolation == "bilinear":
        return np.clip(1 - x, 0, None)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


# Positions of RADIO have no rows for other tokens and are there for the largest image.
# Reference: transformers 5.23, models/radio/modeling_radio.py.
RADIO = Resampling("bilinear", antialias=False, is_cut_from_square=True)
