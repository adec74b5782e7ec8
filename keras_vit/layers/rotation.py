"""Rotate queries and keys by angles. Shapes: B batch, T tokens, h heads, d = D / h."""

from __future__ import annotations

from keras import ops

from keras_vit.layers.shapes import Tensor

LAYOUTS = ("interleaved", "half")


def check_layout(layout: str) -> None:
    """Raise a ValueError unless `layout` says which channels form a pair."""
    if layout not in LAYOUTS:
        raise ValueError(
            f"layout must be one of {list(LAYOUTS)}, received layout={layout!r}. It "
            "says which channels form a pair; take that of the checkpoint."
        )


def rotation_table(angles: Tensor, layout: str) -> Tensor:
    """Return cosines and sines of all channels, (2, T, h or 1, d).

    Args:
        angles: of each pair of channels, (T, h or 1, d / 2).
        layout: "interleaved" pairs channels (2m, 2m + 1), "half" (m, m + d / 2).
    """
    if layout == "interleaved":
        angles = ops.repeat(angles, 2, axis=-1)
    else:
        angles = ops.concatenate([angles, angles], axis=-1)
    return ops.stack([ops.cos(angles), ops.sin(angles)])


def rotate(x: Tensor, rotation: Tensor, layout: str) -> Tensor:
    """Rotate each pair of channels: (a, b) -> (a cos - b sin, b cos + a sin).

    Args:
        x: queries or keys, (B, T, h, d).
        rotation: from `rotation_table`.
        layout: that of the table.
    """
    rotation = ops.cast(rotation, x.dtype)
    cosines, sines = rotation[:1], rotation[1:]  # (1, T, h or 1, d)
    return x * cosines + _quarter_turn(x, layout) * sines


def _quarter_turn(x: Tensor, layout: str) -> Tensor:
    # (a, b) -> (-b, a), at rank 4 at most, because mobile runtimes stop there.
    _, length, num_heads, width = ops.shape(x)
    if layout == "half":
        first, second = ops.split(x, 2, axis=-1)
        return ops.concatenate([-second, first], axis=-1)
    pairs = ops.reshape(x, (-1, length, num_heads * width // 2, 2))
    first, second = ops.split(pairs, 2, axis=-1)
    turned = ops.concatenate([-second, first], axis=-1)
    return ops.reshape(turned, (-1, length, num_heads, width))
