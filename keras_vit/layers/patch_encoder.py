"""From flat patches to tokens. Shapes: B batch, N patches, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.composite import CompositeLayer
from keras_vit.layers.free_sincos_position_embedding import (
    FreeSinCosPositionEmbedding,
)
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.partial_position_embedding import PartialPositionEmbedding
from keras_vit.layers.position_embedding import PositionEmbedding
from keras_vit.layers.register_tokens import RegisterTokens
from keras_vit.layers.resampled_position_embedding import ResampledPositionEmbedding
from keras_vit.layers.shapes import Shape, Tensor, check_rank, check_rate
from keras_vit.layers.sincos_position_embedding import SinCosPositionEmbedding


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchEncoder(CompositeLayer):
    """Project flat patches to tokens, prepend the class token and add positions.

    Args:
        hidden_dim: D, width of a token, at least 1.
        use_class_token: whether a learned token stands before the patches.
            Default True.
        dropout_rate: share of the token values that is dropped in training, [0, 1).
            Default 0.
        use_distillation_token: whether a second learned token follows the class token.
            Default False.
        num_registers: number of learned tokens between these and the patches.
            Default 0.
        positions: which tokens have a learned position: "all" (default), "class" (class
            token and patches) or "patches"; or "sincos" for computed ones, see
            `SinCosPositionEmbedding`, "sincos_open" for those without the endpoint; or
            None.
        grid_size: number of patches, (rows, columns); for computed positions of images
            of one size, and for learned ones of images of any size.
        patch_size: pixels, (height, width), for images of any size: positions are
            computed for the grid of the images, or learned for `grid_size` and
            resampled to it, see `ResampledPositionEmbedding`. Default None: images of
            one size.
        use_bias: whether the projection has a bias. Default True.
        normalization: "layer" or "rms" to normalize the projected patches.
            Default None.
        epsilon: of the normalization. Default 1e-6.

    Call arguments:
        patches: what `Patches` returns.
        images: what `Patches` was given; needed with `patch_size`, for their size.
        training: whether dropout is active.

    Input shape: (B, N, P * P * C).
    Output shape: (B, T, D), T = N + 1 with the class token first, else N; with
        registers and distillation token accordingly more.

    Raises:
        ValueError: if `positions` is none of those named.

    Reference: arXiv:2010.11929, equation 1. Initialization as in google-research/
    vision_transformer, vit_jax/models_vit.py: projection LeCun normal (flax's default).
    """

    def __init__(
        self,
        hidden_dim: int,
        use_class_token: bool = True,
        dropout_rate: float = 0.0,
        use_distillation_token: bool = False,
        num_registers: int = 0,
        positions: str | None = "all",
        grid_size: tuple[int, int] | None = None,
        patch_size: tuple[int, int] | None = None,
        use_bias: bool = True,
        normalization: str | None = None,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rate("dropout_rate", dropout_rate)
        self.hidden_dim = hidden_dim
        self.use_class_token = use_class_token
        self.dropout_rate = dropout_rate
        self.use_distillation_token = use_distillation_token
        self.num_registers = num_registers
        self.positions = positions
        self.grid_size = grid_size and (grid_size[0], grid_size[1])
        self.patch_size = patch_size and (patch_size[0], patch_size[1])
        self.use_bias = use_bias
        self.normalization = normalization
        self.epsilon = epsilon
        with self.sublayers() as named:
            self.projection = keras.layers.Dense(
                hidden_dim,
                use_bias=use_bias,
                kernel_initializer="lecun_normal",
                **named("projection"),
            )
            self.norm = None
            if normalization is not None:
                self.norm = make_normalization(normalization, epsilon, **named("norm"))
            self.registers = None
            if num_registers:
                self.registers = RegisterTokens(num_registers, **named("registers"))
            self.distillation_token = None
            if use_distillation_token:
                self.distillation_token = ClassToken(**named("distillation_token"))
            self.class_token = None
            if use_class_token:
                self.class_token = ClassToken(**named("class_token"))
            self.position_embedding = self._make_positions(
                **named("position_embedding")
            )
            self.dropout = keras.layers.Dropout(dropout_rate, **named("dropout"))

    def _make_positions(self, **kwargs: Any) -> Any:
        num_class_tokens = self.use_class_token + self.use_distillation_token
        num_prefix_tokens = num_class_tokens + self.num_registers
        is_computed = self.positions in ("sincos", "sincos_open")
        if is_computed and self.patch_size is not None:
            return FreeSinCosPositionEmbedding(
                self.patch_size,
                num_prefix_tokens,
                use_endpoint=self.positions == "sincos",
                **kwargs,
            )
        if is_computed:
            if self.grid_size is None:
                raise ValueError(
                    "Computed positions need grid_size, the number of patches (rows, "
                    f"columns), received grid_size=None, positions={self.positions!r}."
                )
            return SinCosPositionEmbedding(
                self.grid_size,
                num_prefix_tokens,
                use_endpoint=self.positions == "sincos",
                **kwargs,
            )
        rows = {
            "all": num_prefix_tokens,
            "class": num_class_tokens,
            "patches": 0,
            None: None,
        }
        if self.positions not in rows:
            raise ValueError(
                "positions must be one of 'all', 'class', 'patches', 'sincos', "
                f"'sincos_open' and None, received positions={self.positions!r}."
            )
        num_prefix_rows = rows[self.positions]
        if num_prefix_rows is None:
            return None
        if self.patch_size is not None:
            if self.grid_size is None:
                raise ValueError(
                    "Learned positions for images of any size need grid_size, the "
                    "number of patches (rows, columns) that they belong to, received "
                    f"grid_size=None, patch_size={self.patch_size}. Pass both."
                )
            return ResampledPositionEmbedding(
                self.grid_size,
                self.patch_size,
                num_prefix_tokens,
                num_prefix_rows,
                **kwargs,
            )
        if num_prefix_rows == num_prefix_tokens:
            return PositionEmbedding(**kwargs)
        return PartialPositionEmbedding(num_prefix_tokens, num_prefix_rows, **kwargs)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, N, P * P * C)")
        shape = (*input_shape[:-1], self.hidden_dim)
        self.projection.build((None, input_shape[-1]))
        if self.norm is not None:
            self.norm.build(shape)
        for layer in (self.registers, self.distillation_token, self.class_token):
            if layer is not None:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)
        if self.position_embedding is not None:
            sized = () if self.patch_size is None else ((None,) * 4,)
            self.position_embedding.build(shape, *sized)
        self.dropout.build(shape)

    def call(
        self,
        patches: Tensor,
        training: bool | None = None,
        images: Tensor | None = None,
    ) -> Tensor:
        shape: Any = ops.shape(patches)
        num_patches, width = shape[1], patches.shape[-1]
        tokens = ops.reshape(patches, (-1, width))  # (B * N, P * P * C)
        tokens = self.projection(tokens)  # (B * N, D)
        tokens = ops.reshape(tokens, (-1, num_patches, self.hidden_dim))  # (B, N, D)
        if self.norm is not None:
            tokens = self.norm(tokens)
        for layer in (self.registers, self.distillation_token, self.class_token):
            if layer is not None:
                tokens = layer(tokens)  # (B, 1 + N, D) after the class token
        if self.position_embedding is not None:
            sized = () if images is None else (images,)
            tokens = self.position_embedding(tokens, *sized)
        return self.dropout(tokens, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, num_patches, _ = input_shape
        if num_patches is not None:
            num_patches += self.use_class_token + self.use_distillation_token
            num_patches += self.num_registers
        return (batch, num_patches, self.hidden_dim)
