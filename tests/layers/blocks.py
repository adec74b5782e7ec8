"""A block with new layers in it, for the tests."""

from __future__ import annotations

from typing import Any

from keras_vit.layers import MLP, SelfAttention, TransformerBlock


def make_block(
    attention: dict[str, Any] | None = None,
    mlp: dict[str, Any] | None = None,
    **options: Any,
) -> TransformerBlock:
    """Return a block of width 8.

    Args:
        attention: options of its attention, which has 2 heads.
        mlp: options of its MLP, which is 12 wide.
        **options: of the block; a `dtype` is that of the two layers, too.
    """
    dtype = {"dtype": options.get("dtype")}
    return TransformerBlock(
        SelfAttention(8, 2, **{**dtype, "name": "attention", **(attention or {})}),
        MLP(8, 12, **{**dtype, "name": "mlp", **(mlp or {})}),
        **options,
    )
