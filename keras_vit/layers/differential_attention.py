"""Self-attention that subtracts noise. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.composite import CompositeLayer
from keras_vit.layers.differential_product import DifferentialProduct
from keras_vit.layers.initializers import xavier_of_square
from keras_vit.layers.shapes import Shape, Tensor, check_rate, check_width


@keras.saving.register_keras_serializable(package="keras_vit")
class DifferentialAttention(CompositeLayer):
    """Let each token read from all tokens, with the difference of two attentions.

    Args:
        hidden_dim: D, width of a token; a multiple of 2 * `num_heads`.
        num_heads: number of heads, at least 1.
        depth: number of the block, from 0; sets where lambda starts.
        dropout_rate: share of the output that is dropped in training, [0, 1).
            Default 0.
        attention_dropout_rate: share of the attention weights that is dropped in
            training, [0, 1). Default 0.
        use_qkv_bias: whether queries, keys and values have a bias. Default True.
        use_output_bias: whether the output has a bias. Default True.

    Call arguments:
        tokens: the sequence.
        training: whether dropout is active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if the number of heads does not divide, or the input has another
            width than `hidden_dim`.

    Reference: arXiv:2410.05258.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        depth: int = 0,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        use_qkv_bias: bool = True,
        use_output_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_heads < 1 or hidden_dim % (2 * num_heads):
            raise ValueError(
                "hidden_dim must be a multiple of 2 * num_heads, received "
                f"hidden_dim={hidden_dim}, num_heads={num_heads}. Choose a num_heads "
                "that divides hidden_dim / 2."
            )
        check_rate("dropout_rate", dropout_rate)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.depth = depth
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.use_qkv_bias = use_qkv_bias
        self.use_output_bias = use_output_bias
        with self.sublayers() as named:
            self.qkv = keras.layers.Dense(
                3 * hidden_dim,
                use_bias=use_qkv_bias,
                kernel_initializer=xavier_of_square(),
                **named("qkv"),
            )
            self.product = DifferentialProduct(
                depth, attention_dropout_rate, **named("product")
            )
            self.output_projection = keras.layers.Dense(
                hidden_dim,
                use_bias=use_output_bias,
                kernel_initializer="glorot_uniform",
                **named("output_projection"),
            )
            self.dropout = keras.layers.Dropout(dropout_rate, **named("dropout"))

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        batch, length, _ = input_shape
        self.qkv.build((None, self.hidden_dim))
        half = self.hidden_dim // self.num_heads // 2
        self.product.build((batch, length, 2 * self.num_heads, half))
        self.output_projection.build((None, self.hidden_dim))
        self.dropout.build((None, self.hidden_dim))

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        shape: Any = ops.shape(tokens)
        length, width = shape[1], self.hidden_dim // self.num_heads
        x = self.qkv(ops.reshape(tokens, (-1, self.hidden_dim)))  # (B * T, 3 D)
        query, key, value = ops.split(x, 3, axis=-1)
        halves = (-1, length, 2 * self.num_heads, width // 2)
        query, key = ops.reshape(query, halves), ops.reshape(key, halves)
        value = ops.reshape(value, (-1, length, self.num_heads, width))
        x = self.product(query, key, value, training=training)  # (B, T, h, d)
        x = ops.reshape(x, (-1, self.hidden_dim))  # (B * T, D)
        x = self.dropout(self.output_projection(x), training=training)
        return ops.reshape(x, (-1, length, self.hidden_dim))  # (B, T, D)
