"""Learned positions for some of the tokens. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class PartialPositionEmbedding(keras.layers.Layer):
    """Add a learned vector to each patch token, but not to each token before them.

    Args:
        num_prefix_tokens: number of tokens before the patches.
        num_prefix_rows: how many of these, from the first on, have a position, at
            least 0 and below `num_prefix_tokens`. Default 0.

    Input shape: (B, T, D), T known when the layer is built.
    Output shape: (B, T, D).

    Raises:
        ValueError: if the input is not of rank 3, the length is unknown or leaves no
            patch, or `num_prefix_rows` is out of range.

    Reference: arXiv:2204.07118 (patches only: DeiT III); arXiv:2309.16588 (class token
    and patches, but not registers: DINOv2).
    """

    def __init__(
        self, num_prefix_tokens: int, num_prefix_rows: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= num_prefix_rows < num_prefix_tokens:
            raise ValueError(
                "num_prefix_rows must be at least 0 and below num_prefix_tokens, "
                f"received num_prefix_rows={num_prefix_rows}, "
                f"num_prefix_tokens={num_prefix_tokens}. Use PositionEmbedding if each "
                "token has a position."
            )
        self.num_prefix_tokens = num_prefix_tokens
        self.num_prefix_rows = num_prefix_rows

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        if input_shape[1] is None:
            raise ValueError(
                "PartialPositionEmbedding learns one row per token and needs a fixed "
                f"number of tokens, received shape {tuple(input_shape)}. Fix the image "
                "size."
            )
        num_patches = input_shape[1] - self.num_prefix_tokens
        if num_patches < 1:
            raise ValueError(
                "PartialPositionEmbedding needs a patch after the prefix, received "
                f"shape {tuple(input_shape)} with num_prefix_tokens="
                f"{self.num_prefix_tokens}. Use a longer sequence or a smaller "
                "num_prefix_tokens."
            )
        rows = num_patches + self.num_prefix_rows
        self.table = self.add_weight(
            shape=(1, rows, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="table",
        )

    def call(self, tokens: Tensor) -> Tensor:
        # The cast is for rematerialization, which runs outside Keras's autocast.
        table = ops.cast(self.table, self.compute_dtype)
        rows = self.num_prefix_rows
        missing = (1, self.num_prefix_tokens - rows, table.shape[-1])
        zeros = ops.zeros(missing, self.compute_dtype)
        table = ops.concatenate([table[:, :rows], zeros, table[:, rows:]], axis=1)
        return tokens + table

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_prefix_tokens": self.num_prefix_tokens,
            "num_prefix_rows": self.num_prefix_rows,
        }
