"""Resample learned positions to the grid of the images. D hidden, h w grid."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_vit.layers.base.layer import Tensor


def resample_table(
    table: Tensor,
    num_prefix_rows: int,
    grid_size: Any,
    patch_size: Any,
    image_shape: Any,
    kernel: str = "bicubic_antialias",
) -> Tensor:
    """Return a table of positions for the grid of the images, (1, rows, D), float32.

    Rows and columns are resampled by a matrix each; on the grid of the table the
    matrices are the identity.

    Args:
        table: (1, num_prefix_rows + rows * columns, D).
        num_prefix_rows: rows before those of the patches, which stay as they are.
        grid_size: of the table, (rows, columns).
        patch_size: pixels, (height, width).
        image_shape: of the images, (B, H, W, C); in TensorFlow's graphs with tensors.
        kernel: a value of the option `resampling` of `ViTConfig`.

    Reference: timm, layers/pos_embed.py, resample_abs_pos_embed, as `dynamic_img_size`
    calls it; for "square" transformers, models/radio/modeling_radio.py.
    """
    height, width = image_shape[1] // patch_size[0], image_shape[2] // patch_size[1]
    new_rows, new_columns = height, width
    if kernel.endswith("_square"):
        new_rows = new_columns = ops.maximum(height, width)
        if isinstance(height, int) and isinstance(width, int):
            new_rows = new_columns = max(height, width)
    rows, columns = grid_size
    dim = table.shape[-1]
    table = ops.cast(table, "float32")[0]
    prefix, patches = table[:num_prefix_rows], table[num_prefix_rows:]
    x = ops.reshape(patches, (rows, columns * dim))
    x = ops.matmul(resize_matrix(rows, new_rows, kernel)[:height], x)  # (h, columns*D)
    x = ops.reshape(x, (-1, columns, dim))
    x = ops.matmul(resize_matrix(columns, new_columns, kernel)[:width], x)  # (h, w, D)
    return ops.concatenate([prefix, ops.reshape(x, (-1, dim))])[None]


def resize_matrix(old: int, new: Any, kernel: str = "bicubic_antialias") -> Tensor:
    """Return the matrix (new, old), float32, that resamples one axis as torch does.

    Args:
        old: length of the axis.
        new: length wanted; in TensorFlow's graphs a tensor.
        kernel: as for `resample_table`.

    Reference: torch.nn.functional.interpolate, whose bicubic kernel is Keys' with a =
    -0.5 where it antialiases and a = -0.75 where it does not.
    """
    is_cubic = kernel.startswith("bicubic")
    places = ops.arange(new, dtype="float32")
    taps = ops.arange(old, dtype="float32")
    if "_corners" in kernel:
        last = ops.cast(ops.maximum(new - 1, 1), "float32")
        centres = places * ((old - 1) / last)
        return ops.maximum(1 - ops.absolute(centres[:, None] - taps), 0)
    scale = old / ops.cast(new, "float32")
    centres = (places + 0.5) * scale - 0.5
    if "_antialias" in kernel:
        x = ops.absolute(taps - centres[:, None]) / ops.maximum(scale, 1.0)
        weights = _cubic(x, -0.5) if is_cubic else ops.maximum(1 - x, 0)
        return weights / ops.sum(weights, axis=1, keepdims=True)
    # Taps beyond the border read the border.
    reach = 2 if is_cubic else 1
    matrix, first = 0.0, ops.floor(centres)
    for tap in range(1 - reach, reach + 1):
        place = first + tap
        x = ops.absolute(place - centres)[:, None]
        weight = _cubic(x, -0.75) if is_cubic else ops.maximum(1 - x, 0)
        is_here = ops.clip(place, 0, old - 1)[:, None] == taps
        matrix = matrix + weight * ops.cast(is_here, "float32")
    return matrix


def _cubic(x: Tensor, a: float) -> Tensor:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return ops.where(x < 1, near, ops.where(x < 2, far, ops.zeros_like(x)))
