"""Learned positions for images of any size. B batch, T tokens, D hidden, h w grid."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class ResampledPositionEmbedding(keras.layers.Layer):
    """Add a learned table, resampled to the grid of the images, to a sequence.

    The table belongs to one grid of patches. Its rows and columns are resampled by a
    matrix each, with a bicubic kernel that grows when the grid shrinks; on the grid of
    the table the matrices are the identity.

    Args:
        grid_size: of the table, (rows, columns).
        patch_size: pixels, (height, width).
        num_prefix_tokens: number of tokens before the patches. Default 0.
        num_prefix_rows: how many of these, from the first on, have a position, at most
            `num_prefix_tokens`. Default 0.

    Call arguments:
        tokens: (B, T, D).
        images: (B, H, W, C) that the patches were cut from; only their size matters.

    Output shape: (B, T, D).

    Raises:
        ValueError: if an input has another rank, or `num_prefix_rows` is out of range.

    Reference: arXiv:2010.11929, section 3.2 (resampled positions); timm,
    layers/pos_embed.py, resample_abs_pos_embed, as `dynamic_img_size` calls it.
    Initialization as that of `PositionEmbedding`.
    """

    def __init__(
        self,
        grid_size: tuple[int, int],
        patch_size: tuple[int, int],
        num_prefix_tokens: int = 0,
        num_prefix_rows: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= num_prefix_rows <= num_prefix_tokens:
            raise ValueError(
                "num_prefix_rows must be from 0 to num_prefix_tokens, received "
                f"num_prefix_rows={num_prefix_rows}, num_prefix_tokens="
                f"{num_prefix_tokens}. Only a token can have a position."
            )
        self.grid_size = (grid_size[0], grid_size[1])
        self.patch_size = (patch_size[0], patch_size[1])
        self.num_prefix_tokens = num_prefix_tokens
        self.num_prefix_rows = num_prefix_rows

    def build(self, tokens_shape: Shape, images_shape: Shape) -> None:
        check_rank(self, tokens_shape, "(B, T, D)")
        check_rank(self, images_shape, "(B, H, W, C)")
        num_rows = self.num_prefix_rows + self.grid_size[0] * self.grid_size[1]
        self.table = self.add_weight(
            shape=(1, num_rows, tokens_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            autocast=False,  # Resampled in full precision, then cast.
            name="table",
        )

    def call(self, tokens: Tensor, images: Tensor) -> Tensor:
        shape: Any = ops.shape(images)
        height, width = shape[1] // self.patch_size[0], shape[2] // self.patch_size[1]
        rows, columns = self.grid_size
        dim = tokens.shape[-1]
        table = ops.cast(self.table, "float32")[0]
        prefix, patches = table[: self.num_prefix_rows], table[self.num_prefix_rows :]
        x = ops.reshape(patches, (rows, columns * dim))
        x = ops.matmul(resize_matrix(rows, height), x)  # (h, columns * D)
        x = ops.reshape(x, (-1, columns, dim))
        x = ops.matmul(resize_matrix(columns, width), x)  # (h, w, D)
        missing = self.num_prefix_tokens - self.num_prefix_rows
        parts = [prefix, ops.zeros((missing, dim)), ops.reshape(x, (-1, dim))]
        table = ops.concatenate(parts)  # (T, D)
        return tokens + ops.cast(table[None], self.compute_dtype)

    def compute_output_shape(self, tokens_shape: Shape, images_shape: Shape) -> Shape:
        return tuple(tokens_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "grid_size": self.grid_size,
            "patch_size": self.patch_size,
            "num_prefix_tokens": self.num_prefix_tokens,
            "num_prefix_rows": self.num_prefix_rows,
        }


def resize_matrix(old: int, new: Any) -> Tensor:
    """Return the matrix (new, old), float32, that resamples one axis.

    Bicubic with antialiasing, as torch does it.

    Args:
        old: length of the axis.
        new: length wanted; in TensorFlow's graphs a tensor.

    Reference: torch.nn.functional.interpolate(mode="bicubic", antialias=True), whose
    kernel is Keys' with a = -0.5.
    """
    scale = old / ops.cast(new, "float32")
    centres = (ops.arange(new, dtype="float32") + 0.5) * scale
    taps = ops.arange(old, dtype="float32") + 0.5
    x = ops.absolute(taps - centres[:, None]) / ops.maximum(scale, 1.0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = ops.where(x < 1, near, ops.where(x < 2, far, ops.zeros_like(x)))
    return weights / ops.sum(weights, axis=1, keepdims=True)
