"""Attention from a learned query as pooling. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Dense,
    Shape,
    Tensor,
    check_count,
    check_heads,
    check_prefix,
    check_width,
    copy_norm,
    scores_options,
)
from keras_vit.layers.mlp import MLP
from keras_vit.layers.normalization import LayerNormalization
from keras_vit.layers.self_attention import AttentionProduct


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionPooling(CompositeLayer):
    """Let one learned query read from the tokens, then add an MLP of what it read.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: number of heads, at least 1.
        mlp_dim: width inside the MLP, at least 1.
        num_prefix_tokens: number of tokens at the start that are left out. Default 0.
        activation: of the MLP. Default "gelu", which is exact.
        norm: normalization of what the query read, which is copied. Default None:
            `LayerNormalization()`.

    Call arguments:
        tokens: the sequence.
        training: not used.
        return_attention_scores: whether the attention weights are returned, too.
            Default False.
        attention_offset: added to the attention weights, of their shape, for gradients
            with respect to them. Default None.

    Input shape: (B, T, D).
    Output shape: (B, D), and with `return_attention_scores` (B, h, 1, T).

    Raises:
        ValueError: if the number of heads does not divide, the input has another width
            than `hidden_dim`, or the prefix leaves no token.

    Example:
        ```python
        pooling = keras_vit.layers.AttentionPooling(64, num_heads=4, mlp_dim=128)
        tuple(pooling(keras.ops.ones((2, 196, 64))).shape)  # (2, 64)
        ```

    Reference: arXiv:2106.04560, section 3.1 (MAP head).
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        mlp_dim: int,
        num_prefix_tokens: int = 0,
        activation: str = "gelu",
        norm: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_heads(hidden_dim, num_heads)
        check_count("num_prefix_tokens", num_prefix_tokens, 0)
        norm = norm or LayerNormalization()
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.num_prefix_tokens = num_prefix_tokens
        self.activation = activation
        with self.sublayers() as named:
            self.query = Dense(hidden_dim, **named("query"))
            self.key_value = Dense(2 * hidden_dim, **named("key_value"))
            self.product = AttentionProduct(**named("product"))
            self.output_projection = Dense(hidden_dim, **named("output_projection"))
            self.norm = copy_norm(norm, **named("norm"))
            self.mlp = MLP(hidden_dim, mlp_dim, activation=activation, **named("mlp"))

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        check_prefix(self, input_shape, self.num_prefix_tokens)
        width = self.hidden_dim
        self.probe = self.add_weight((1, 1, width), "glorot_uniform", name="probe")
        flat, one = (None, width), (input_shape[0], 1, width)
        self.query.build(flat)
        self.key_value.build(flat)
        self.product.build((input_shape[0], 1, self.num_heads, width // self.num_heads))
        self.output_projection.build(flat)
        self.norm.build(one)
        self.mlp.build(one)

    def call(
        self,
        tokens: Tensor,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
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
        options = scores_options(return_attention_scores, attention_offset)
        x = self.product(query, key, value, **options)  # (B, 1, h, d)
        x, scores = x if return_attention_scores else (x, None)
        x = self.output_projection(ops.reshape(x, (-1, width)))  # (B, D)
        x = ops.reshape(x, (-1, 1, width))
        x = x + self.mlp(self.norm(x), training=training)
        x = ops.reshape(x, (-1, width))  # (B, D)
        return (x, scores) if return_attention_scores else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.hidden_dim)
