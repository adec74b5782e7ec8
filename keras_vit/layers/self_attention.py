"""Multi-head self-attention.

Shapes: B batch, T tokens, D hidden, h heads, d = D / h.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.attention_product import AttentionProduct
from keras_vit.layers.composite import CompositeLayer
from keras_vit.layers.initializers import xavier_of_square
from keras_vit.layers.shapes import Shape, Tensor, check_heads, check_rate, check_width


@keras.saving.register_keras_serializable(package="keras_vit")
class SelfAttention(CompositeLayer):
    """Let each token read from all tokens, with several heads.

    Query, key and value come from one matrix product, in this order along the last
    axis, heads in a row within each: a timm `qkv` weight is the transpose of this
    kernel.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: h, number of heads, at least 1.
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
        ValueError: if `hidden_dim` is not a multiple of `num_heads`, or the input has
            another width than `hidden_dim`.

    Reference: arXiv:2010.11929, appendix A, equations 5 to 8. Initialization as in
    google-research/vision_transformer, vit_jax/models_vit.py: Xavier uniform for each
    of the four matrices, zero biases.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        use_qkv_bias: bool = True,
        use_output_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_heads(hidden_dim, num_heads)
        check_rate("dropout_rate", dropout_rate)
        check_rate("attention_dropout_rate", attention_dropout_rate)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
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
            self.product = AttentionProduct(attention_dropout_rate, **named("product"))
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
        head_dim = self.hidden_dim // self.num_heads
        self.product.build((batch, length, self.num_heads, head_dim))
        self.output_projection.build((None, self.hidden_dim))
        self.dropout.build((None, self.hidden_dim))

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        shape: Any = ops.shape(tokens)
        length = shape[1]
        x = self.qkv(ops.reshape(tokens, (-1, self.hidden_dim)))  # (B * T, 3 D)
        heads = (-1, length, self.num_heads, self.hidden_dim // self.num_heads)
        query, key, value = (
            ops.reshape(part, heads) for part in ops.split(x, 3, axis=-1)
        )  # (B, T, h, d) each
        context = self.product(query, key, value, training=training)  # (B, T, h, d)
        x = ops.reshape(context, (-1, self.hidden_dim))  # (B * T, D)
        x = self.dropout(self.output_projection(x), training=training)
        return ops.reshape(x, (-1, length, self.hidden_dim))  # (B, T, D)
