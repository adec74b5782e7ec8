"""A learned query reads from the tokens. Shapes: B batch, T tokens, D hidden."""

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
    scores_options,
)
from keras_vit.layers.self_attention import AttentionProduct


@keras.saving.register_keras_serializable(package="keras_vit")
class QueryPooling(CompositeLayer):
    """Let one learned query read from the tokens.

    Unlike `AttentionPooling` the query goes through no layer of its own, and no MLP
    follows what it read.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: number of heads, at least 1.
        num_prefix_tokens: number of tokens at the start that are left out. Default 0.
        use_key_value_bias: whether keys and values have a bias. Default True.

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
        pooling = keras_vit.layers.QueryPooling(hidden_dim=64, num_heads=4)
        tuple(pooling(keras.ops.ones((2, 196, 64))).shape)  # (2, 64)
        ```

    Reference: transformers 5.23, models/aimv2/modeling_aimv2.py,
    Aimv2AttentionPoolingHead (arXiv:2411.14402).
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        num_prefix_tokens: int = 0,
        use_key_value_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_heads(hidden_dim, num_heads)
        check_count("num_prefix_tokens", num_prefix_tokens, 0)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.num_prefix_tokens = num_prefix_tokens
        self.use_key_value_bias = use_key_value_bias
        with self.sublayers() as named:
            self.key_value = Dense(
                2 * hidden_dim, use_bias=use_key_value_bias, **named("key_value")
            )
            self.product = AttentionProduct(**named("product"))
            self.output_projection = Dense(hidden_dim, **named("output_projection"))

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        check_prefix(self, input_shape, self.num_prefix_tokens)
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.query = self.add_weight((1, 1, self.hidden_dim), normal, name="query")
        self.key_value.build((None, self.hidden_dim))
        head_dim = self.hidden_dim // self.num_heads
        self.product.build((input_shape[0], 1, self.num_heads, head_dim))
        self.output_projection.build((None, self.hidden_dim))

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
        query = ops.reshape(self.query, (1, 1, *heads[2:]))
        # The same query for each image, without reading the batch size.
        query = ops.cast(query, self.compute_dtype) + 0 * key[:, :1]  # (B, 1, h, d)
        options = scores_options(return_attention_scores, attention_offset)
        x = self.product(query, key, value, **options)  # (B, 1, h, d)
        x, scores = x if return_attention_scores else (x, None)
        x = self.output_projection(ops.reshape(x, (-1, width)))  # (B, D)
        return (x, scores) if return_attention_scores else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.hidden_dim)
