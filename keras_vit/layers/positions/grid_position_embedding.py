"""Learned positions on a grid of patches. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank
from keras_vit.layers.positions.resampling import resample_table
from keras_vit.own_arguments import own_arguments


@keras.saving.register_keras_serializable(package="keras_vit")
class GridPositionEmbedding(keras.layers.Layer):
    """Add learned positions to the patches, and to some of the tokens before them.

    `PositionEmbedding` with what later families changed: tokens before the patches may
    have no position, and the table may be resampled to the grid of the images.

    Args:
        grid_size: grid of patches that the table belongs to, (rows, columns).
        num_prefix_tokens: number of tokens before the patches. Default 0.
        num_prefix_rows: how many of these, from the first on, have a position, at most
            `num_prefix_tokens`. Default 0.
        patch_size: pixels, (height, width), for images of any size: the table is
            resampled to the grid of the images. Default None: images of one size.
        resampling: kernel of that, a value of this option of `ViTConfig`. Default
            "bicubic_antialias".

    Call arguments:
        tokens: (B, T, D).
        images: (B, H, W, C) that the patches were cut from, with `patch_size`; only
            their size matters. Default None.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if the input has another shape, or `num_prefix_rows` is out of
            range.

    Example:
        ```python
        positions = keras_vit.layers.GridPositionEmbedding(
            (14, 14), num_prefix_tokens=1, num_prefix_rows=1, patch_size=(16, 16)
        )
        images, tokens = keras.ops.ones((1, 320, 160, 3)), keras.ops.ones((1, 201, 64))
        tuple(positions(tokens, images=images).shape)  # (1, 201, 64)
        ```

    Reference: arXiv:2204.07118 (patches only: DeiT III); arXiv:2309.16588 (class token
    and patches, but not registers: DINOv2); arXiv:2010.11929, section 3.2 (resampling).
    Initialization as that of `PositionEmbedding`.
    """

    def __init__(
        self,
        grid_size: tuple[int, int],
        num_prefix_tokens: int = 0,
        num_prefix_rows: int = 0,
        patch_size: tuple[int, int] | None = None,
        resampling: str = "bicubic_antialias",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= num_prefix_rows <= num_prefix_tokens:
            raise ValueError(
                "num_prefix_rows must be from 0 to num_prefix_tokens, received "
                f"num_prefix_rows={num_prefix_rows}, num_prefix_tokens="
                f"{num_prefix_tokens}. Only a token can have a position."
            )
        self.grid_size = tuple(grid_size)
        self.num_prefix_tokens = num_prefix_tokens
        self.num_prefix_rows = num_prefix_rows
        self.patch_size = patch_size and tuple(patch_size)
        self.resampling = resampling

    def build(self, tokens_shape: Shape, images_shape: Shape | None = None) -> None:
        check_rank(self, tokens_shape, "(B, T, D)")
        num_patches = math.prod(self.grid_size)
        length = self.num_prefix_tokens + num_patches
        if self.patch_size is None and tokens_shape[1] not in (None, length):
            raise ValueError(
                f"GridPositionEmbedding was made for {length} tokens, received shape "
                f"{tuple(tokens_shape)}. Make it with the grid_size of the patches."
            )
        self.table = self.add_weight(
            shape=(1, self.num_prefix_rows + num_patches, tokens_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            autocast=self.patch_size is None,  # Resampled in full precision, then cast.
            name="table",
        )

    def call(self, tokens: Tensor, images: Tensor | None = None) -> Tensor:
        table, rows = self.table, self.num_prefix_rows
        if self.patch_size is not None:
            sizes = self.grid_size, self.patch_size, ops.shape(images)
            table = resample_table(table, rows, *sizes, self.resampling)
        # The cast is for rematerialization, which runs outside Keras's autocast.
        table = ops.cast(table, self.compute_dtype)
        missing = self.num_prefix_tokens - rows
        if missing:
            zeros = ops.zeros((1, missing, table.shape[-1]), self.compute_dtype)
            parts = [table[:, :rows], zeros, table[:, rows:]]
            table = ops.concatenate(parts, axis=1)  # (1, T, D)
        return tokens + table

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return layer_call  # A part of PatchEncoder, which does it as a whole.

    def compute_output_shape(
        self, tokens_shape: Shape, images_shape: Shape | None = None
    ) -> Shape:
        return tuple(tokens_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **own_arguments(self)}
