"""Rotate queries and keys by angles. Shapes: B batch, T tokens, h heads, d = D / h."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from keras_vit.layers.base.layer import Tensor

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
    # -b sin as b (-sin): the table is a constant in an exported file, so that the
    # negation is none of its ops; integer runtimes have none.
    signed = _each_pair(sines, layout, lambda a, b: [-a, b])
    return x * cosines + _each_pair(x, layout, lambda a, b: [b, a]) * signed


def _each_pair(
    x: Tensor, layout: str, function: Callable[[Tensor, Tensor], list[Tensor]]
) -> Tensor:
    """Apply a function to the halves of all pairs of channels."""
    # At rank 4 at most, because mobile runtimes stop there.
    _, length, num_heads, width = ops.shape(x)
    # Slices, because WebGPU in LiteRT.js 2.5 mixes up the parts of a split that are
    # joined in another order.
    if layout == "half":
        first, second = x[..., : width // 2], x[..., width // 2 :]
        return ops.concatenate(function(first, second), axis=-1)
    pairs = ops.reshape(x, (-1, length, num_heads * width // 2, 2))
    pairs = ops.concatenate(function(pairs[..., :1], pairs[..., 1:]), axis=-1)
    return ops.reshape(pairs, (-1, length, num_heads, width))
