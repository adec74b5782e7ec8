"""Attention from a learned query as pooling. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.attention_product import AttentionProduct
from keras_vit.layers.composite import CompositeLayer
from keras_vit.layers.mlp import MLP
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.shapes import Shape, Tensor, check_heads, check_width


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionPooling(CompositeLayer):
    """Let one learned query read from the tokens, then add an MLP of what it read.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: number of heads, at least 1.
        mlp_dim: width inside the MLP, at least 1.
        num_prefix_tokens: number of tokens at the start that are left out. Default 0.
        activation: of the MLP. Default "gelu", which is exact.
        normalization: "layer" (default) or "rms".
        epsilon: of the normalization. Default 1e-6.

    Call arguments:
        tokens: the sequence.
        training: not used.

    Input shape: (B, T, D).
    Output shape: (B, D).

    Raises:
        ValueError: if the number of heads does not divide, the input has another width
            than `hidden_dim`, or the prefix leaves no token.

    Reference: arXiv:2106.04560, section 3.1 (MAP head).
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        mlp_dim: int,
        num_prefix_tokens: int = 0,
        activation: str = "gelu",
        normalization: str = "layer",
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_heads(hidden_dim, num_heads)
        if num_prefix_tokens < 0:
            raise ValueError(
                "num_prefix_tokens must be at least 0, received "
                f"num_prefix_tokens={num_prefix_tokens}. Use 0 to read all tokens."
            )
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.num_prefix_tokens = num_prefix_tokens
        self.activation = activation
        self.normalization = normalization
        self.epsilon = epsilon
        with self.sublayers() as named:

            def dense(name: str, width: int) -> keras.layers.Dense:
                return keras.layers.Dense(
                    width, kernel_initializer="glorot_uniform", **named(name)
                )

            self.query = dense("query", hidden_dim)
            self.key_value = dense("key_value", 2 * hidden_dim)
            self.product = AttentionProduct(**named("product"))
            self.output_projection = dense("output_projection", hidden_dim)
            self.norm = make_normalization(normalization, epsilon, **named("norm"))
            self.mlp = MLP(hidden_dim, mlp_dim, activation=activation, **named("mlp"))

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        if input_shape[1] is not None and input_shape[1] <= self.num_prefix_tokens:
            raise ValueError(
                "AttentionPooling needs a token to read, received shape "
                f"{tuple(input_shape)} with num_prefix_tokens="
                f"{self.num_prefix_tokens}. Use a longer sequence or a smaller "
                "num_prefix_tokens."
            )
        self.probe = self.add_weight(
            shape=(1, 1, self.hidden_dim),
            initializer="glorot_uniform",
            name="probe",
        )
        flat, one = (None, self.hidden_dim), (input_shape[0], 1, self.hidden_dim)
        self.query.build(flat)
        self.key_value.build(flat)
        head_dim = self.hidden_dim // self.num_heads
        self.product.build((input_shape[0], 1, self.num_heads, head_dim))
        self.output_projection.build(flat)
        self.norm.build(one)
        self.mlp.build(one)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        tokens = tokens[:, self.num_prefix_tokens :]
        shape: Any = ops.shape(tokens)
        length, width = shape[1], self.hidden_dim
        x = self.key_value(ops.reshape(tokens, (-1, width)))  # (B * T, 2 D)
        heads = (-1, length, self.num_heads, width // self.num_heads)
        key, value = (ops.reshape(part, heads) for part in ops.split(x, 2, axis=-1))
        probe = ops.cast(self.probe, self.compute_dtype)
        query = ops.reshape(self.query(probe[0]), (1, 1, *heads[2:]))
        # The same query for each image, without reading the batch size.
        query = query + 0 * key[:, :1]  # (B, 1, h, d)
        x = self.product(query, key, value)  # (B, 1, h, d)
        x = self.output_projection(ops.reshape(x, (-1, width)))  # (B, D)
        x = ops.reshape(x, (-1, 1, width))
        x = x + self.mlp(self.norm(x), training=training)
        return ops.reshape(x, (-1, width))  # (B, D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.hidden_dim)
