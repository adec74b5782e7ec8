"""Multi-head self-attention.

Shapes: B batch, T tokens, D hidden, h heads, d = D / h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vit.layers.attention_product import AttentionProduct
from keras_vit.layers.policies import serialize_policy, sublayer_policies
from keras_vit.layers.rematerialization import rematerialize, sublayer_scope
from keras_vit.layers.shapes import Shape, Tensor, check_rate, check_width


@keras.saving.register_keras_serializable(package="keras_vit")
class SelfAttention(keras.layers.Layer):
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
        if num_heads < 1 or hidden_dim % num_heads:
            raise ValueError(
                "hidden_dim must be a multiple of num_heads, received "
                f"hidden_dim={hidden_dim}, num_heads={num_heads}. "
                "Choose a num_heads that divides hidden_dim."
            )
        check_rate("dropout_rate", dropout_rate)
        check_rate("attention_dropout_rate", attention_dropout_rate)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.use_qkv_bias = use_qkv_bias
        self.use_output_bias = use_output_bias
        policy = sublayer_policies(self)
        with sublayer_scope(self):
            self.qkv = keras.layers.Dense(
                3 * hidden_dim,
                use_bias=use_qkv_bias,
                # Xavier uniform of a (D, D) matrix; the fused (D, 3 D) one would have a
                # smaller limit. sqrt(3 * scale / fan_avg) = sqrt(3 / D) with
                # fan_avg = 2 D.
                kernel_initializer=keras.initializers.VarianceScaling(  # pyright: ignore[reportArgumentType]
                    scale=2.0, mode="fan_avg", distribution="uniform"
                ),
                dtype=policy("qkv"),
                name="qkv",
            )
            self.product = AttentionProduct(
                attention_dropout_rate, dtype=policy("product"), name="product"
            )
            self.output_projection = keras.layers.Dense(
                hidden_dim,
                use_bias=use_output_bias,
                kernel_initializer="glorot_uniform",
                dtype=policy("output_projection"),
                name="output_projection",
            )
            self.dropout = keras.layers.Dropout(
                dropout_rate, dtype=policy("dropout"), name="dropout"
            )

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

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return rematerialize(self, layer_call, args[0])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dtype": serialize_policy(self),
            "hidden_dim": self.hidden_dim,
            "num_heads": self.num_heads,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "use_qkv_bias": self.use_qkv_bias,
            "use_output_bias": self.use_output_bias,
        }
