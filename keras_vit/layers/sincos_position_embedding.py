"""Positions that are computed, not learned. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class SinCosPositionEmbedding(keras.layers.Layer):
    """Add sines and cosines of column and row to each patch token.

    A quarter of the channels each holds sin(x w), cos(x w), sin(y w), cos(y w), x the
    column and y the row, with w_m = temperature^(-m / M).

    Args:
        grid_size: number of patches, (rows, columns).
        num_prefix_tokens: number of tokens before the patches, which get nothing.
            Default 0.
        temperature: of the frequencies. Default 10000.
        use_endpoint: whether M is D / 4 - 1, so that the last frequency is
            1 / temperature (default), or D / 4.

    Input shape: (B, T, D), D a multiple of 4.
    Output shape: (B, T, D).

    Raises:
        ValueError: if the input has another shape.

    Reference: arXiv:2205.01580; google-research/big_vision, models/vit.py,
    posemb_sincos_2d (with the endpoint); arXiv:2411.14402, AIMv2 (without).
    """

    def __init__(
        self,
        grid_size: tuple[int, int],
        num_prefix_tokens: int = 0,
        temperature: float = 10000.0,
        use_endpoint: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.grid_size = tuple(grid_size)
        self.num_prefix_tokens = num_prefix_tokens
        self.temperature = temperature
        self.use_endpoint = use_endpoint

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        length = self.num_prefix_tokens + self.grid_size[0] * self.grid_size[1]
        if input_shape[1] not in (None, length) or (input_shape[-1] or 1) % 4:
            raise ValueError(
                f"SinCosPositionEmbedding was made for {length} tokens of a width that "
                f"is a multiple of 4, received shape {tuple(input_shape)}. Make it "
                "with the grid_size of the patches."
            )

    def call(self, tokens: Tensor) -> Tensor:
        rows, columns = (ops.arange(size, dtype="float32") for size in self.grid_size)
        rows, columns = ops.meshgrid(rows, columns, indexing="ij")
        rows, columns = ops.reshape(rows, (-1,)), ops.reshape(columns, (-1,))
        table = sincos_table(
            rows, columns, tokens.shape[-1], self.temperature, self.use_endpoint
        )  # (N, D)
        table = ops.pad(table, [[self.num_prefix_tokens, 0], [0, 0]])  # (T, D)
        return tokens + ops.cast(table[None], self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "grid_size": self.grid_size,
            "num_prefix_tokens": self.num_prefix_tokens,
            "temperature": self.temperature,
            "use_endpoint": self.use_endpoint,
        }


def sincos_table(
    rows: Tensor, columns: Tensor, width: int, temperature: float, use_endpoint: bool
) -> Tensor:
    """Return the positions of patches, (N, width); see `SinCosPositionEmbedding`.

    Args:
        rows: of the patches, float32 (N,).
        columns: of the patches, float32 (N,).
        width: D, a multiple of 4.
        temperature: of the frequencies.
        use_endpoint: whether the last frequency is 1 / temperature.
    """
    count = width // 4
    steps = max(1, count - 1 if use_endpoint else count)
    frequencies = ops.exp(
        ops.arange(count, dtype="float32") * (-math.log(temperature) / steps)
    )
    x, y = columns[:, None] * frequencies, rows[:, None] * frequencies
    return ops.concatenate([ops.sin(x), ops.cos(x), ops.sin(y), ops.cos(y)], axis=1)
