"""From flat patches to tokens. Shapes: B batch, N patches, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vit.layers.class_token import ClassToken
from keras_vit.layers.policies import serialize_policy, sublayer_policies
from keras_vit.layers.position_embedding import PositionEmbedding
from keras_vit.layers.rematerialization import rematerialize, sublayer_scope
from keras_vit.layers.shapes import Shape, Tensor, check_rank, check_rate


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchEncoder(keras.layers.Layer):
    """Project flat patches to tokens, prepend the class token and add positions.

    Args:
        hidden_dim: D, width of a token, at least 1.
        use_class_token: whether a learned token stands before the patches.
            Default True.
        dropout_rate: share of the token values that is dropped in training, [0, 1).
            Default 0.

    Call arguments:
        patches: what `Patches` returns.
        training: whether dropout is active.

    Input shape: (B, N, P * P * C).
    Output shape: (B, T, D), T = N + 1 with the class token first, else N.

    Reference: arXiv:2010.11929, equation 1. Initialization as in google-research/
    vision_transformer, vit_jax/models_vit.py: projection LeCun normal (flax's default).
    """

    def __init__(
        self,
        hidden_dim: int,
        use_class_token: bool = True,
        dropout_rate: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.use_class_token = use_class_token
        check_rate("dropout_rate", dropout_rate)
        self.dropout_rate = dropout_rate
        policy = sublayer_policies(self)
        with sublayer_scope(self):
            self.projection = keras.layers.Dense(
                hidden_dim,
                kernel_initializer="lecun_normal",
                dtype=policy("projection"),
                name="projection",
            )
            self.class_token = None
            if use_class_token:
                self.class_token = ClassToken(
                    dtype=policy("class_token"), name="class_token"
                )
            self.position_embedding = PositionEmbedding(
                dtype=policy("position_embedding"), name="position_embedding"
            )
            self.dropout = keras.layers.Dropout(
                dropout_rate, dtype=policy("dropout"), name="dropout"
            )

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, N, P * P * C)")
        shape = (*input_shape[:-1], self.hidden_dim)
        self.projection.build((None, input_shape[-1]))
        if self.class_token is not None:
            self.class_token.build(shape)
            shape = self.class_token.compute_output_shape(shape)
        self.position_embedding.build(shape)
        self.dropout.build(shape)

    def call(self, patches: Tensor, training: bool | None = None) -> Tensor:
        shape: Any = ops.shape(patches)
        num_patches, width = shape[1], patches.shape[-1]
        tokens = ops.reshape(patches, (-1, width))  # (B * N, P * P * C)
        tokens = self.projection(tokens)  # (B * N, D)
        tokens = ops.reshape(tokens, (-1, num_patches, self.hidden_dim))  # (B, N, D)
        if self.class_token is not None:
            tokens = self.class_token(tokens)  # (B, 1 + N, D)
        tokens = self.position_embedding(tokens)
        return self.dropout(tokens, training=training)

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return rematerialize(self, layer_call, args[0])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, num_patches, _ = input_shape
        if num_patches is not None:
            num_patches += self.use_class_token
        return (batch, num_patches, self.hidden_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dtype": serialize_policy(self),
            "hidden_dim": self.hidden_dim,
            "use_class_token": self.use_class_token,
            "dropout_rate": self.dropout_rate,
        }
