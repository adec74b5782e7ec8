"""From flat patches to tokens. Shapes: B batch, N patches, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Dense,
    Shape,
    Tensor,
    build_each,
    check_rank,
    check_rate,
    copy_norm,
    drop,
)
from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.later.register_tokens import RegisterTokens
from keras_vit.layers.position_embedding import PositionEmbedding


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchEncoder(CompositeLayer):
    """Project flat patches to tokens, prepend the class token and add positions.

    Args:
        hidden_dim: D, width of a token, at least 1.
        use_class_token: whether a learned token stands before the patches.
            Default True.
        dropout_rate: share of the token values that is dropped in training, [0, 1).
            Default 0.
        use_bias: whether the projection has a bias. Default True.
        norm: normalization of the projected patches, which is copied. Default None:
            they are not normalized.
        position_embedding: layer that adds the positions. Default None:
            `PositionEmbedding()`, a learned position for each token. Pass
            `keras.layers.Identity()` for no positions.
        use_distillation_token: whether a second learned token follows the class token.
            Default False.
        num_registers: number of learned tokens between these and the patches.
            Default 0.

    Call arguments:
        patches: what `Patches` returns.
        images: what `Patches` was given, for positions that depend on the size of the
            images. Default None.
        training: whether dropout is active.

    Input shape: (B, N, P * P * C).
    Output shape: (B, T, D), T = N + 1 with the class token first, else N; with
        registers and distillation token accordingly more.

    Raises:
        ValueError: if the input is not of rank 3 or `dropout_rate` is out of range.

    Example:
        ```python
        images = keras.ops.ones((2, 224, 224, 3))
        patches = keras_vit.layers.Patches(patch_size=16)(images)
        tokens = keras_vit.layers.PatchEncoder(hidden_dim=64)(patches)
        tuple(patches.shape), tuple(tokens.shape)  # ((2, 196, 768), (2, 197, 64))
        ```

    Reference: arXiv:2010.11929, equation 1. Initialization as in google-research/
    vision_transformer, vit_jax/models_vit.py: projection LeCun normal (flax's default).
    """

    handed = ("position_embedding",)

    def __init__(
        self,
        hidden_dim: int,
        use_class_token: bool = True,
        dropout_rate: float = 0.0,
        use_bias: bool = True,
        norm: keras.layers.Layer | None = None,
        position_embedding: keras.layers.Layer | None = None,
        use_distillation_token: bool = False,
        num_registers: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rate("dropout_rate", dropout_rate)
        self.hidden_dim = hidden_dim
        self.use_class_token = use_class_token
        self.dropout_rate = dropout_rate
        self.use_bias = use_bias
        self.use_distillation_token = use_distillation_token
        self.num_registers = num_registers
        with self.sublayers() as named:
            self.projection = Dense(
                hidden_dim, None, use_bias, "lecun_normal", **named("projection")
            )
            self.norm = copy_norm(norm, **named("norm"))
            self.registers = self.distillation_token = self.class_token = None
            if num_registers:
                self.registers = RegisterTokens(num_registers, **named("registers"))
            if use_distillation_token:
                self.distillation_token = ClassToken(**named("distillation_token"))
            if use_class_token:
                self.class_token = ClassToken(**named("class_token"))
            self.position_embedding = position_embedding or PositionEmbedding(
                **named("position_embedding")
            )
            self.dropout = keras.layers.Dropout(dropout_rate, **named("dropout"))

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, N, P * P * C)")
        self.projection.build((None, input_shape[-1]))
        shape = (*input_shape[:-1], self.hidden_dim)
        build_each(shape, self.norm, self.registers, self.distillation_token)
        build_each(shape, self.class_token, self.dropout)
        build_each(self.compute_output_shape(input_shape), self.position_embedding)

    def call(
        self,
        patches: Tensor,
        training: bool | None = None,
        images: Tensor | None = None,
    ) -> Tensor:
        num_patches, width = ops.shape(patches)[1], patches.shape[-1]
        tokens = ops.reshape(patches, (-1, width))  # (B * N, P * P * C)
        tokens = self.projection(tokens)  # (B * N, D)
        tokens = ops.reshape(tokens, (-1, num_patches, self.hidden_dim))  # (B, N, D)
        if self.norm is not None:
            tokens = self.norm(tokens)
        for layer in (self.registers, self.distillation_token, self.class_token):
            if layer is not None:
                tokens = layer(tokens)  # (B, 1 + N, D) after the class token
        sized = () if images is None else (images,)
        tokens = self.position_embedding(tokens, *sized)
        return drop(self.dropout, tokens, training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, length, _ = input_shape
        prefix = self.use_class_token + self.use_distillation_token + self.num_registers
        return (batch, None if length is None else prefix + length, self.hidden_dim)
