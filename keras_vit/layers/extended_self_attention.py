"""Self-attention with the parts that came after the paper.

Shapes: B batch, T tokens, D hidden, h heads, g heads of keys and values, d = D / h.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.attention_product import AttentionProduct
from keras_vit.layers.composite import CompositeLayer
from keras_vit.layers.initializers import xavier_of_square
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.query_value_bias import QueryValueBias
from keras_vit.layers.rotation import check_layout, rotate
from keras_vit.layers.shapes import Shape, Tensor, check_rate, check_width


@keras.saving.register_keras_serializable(package="keras_vit")
class ExtendedSelfAttention(CompositeLayer):
    """Let each token read from all tokens; queries and keys may be rotated.

    `SelfAttention` with what later families add to it. What is left at its default
    costs nothing: with all defaults it computes what `SelfAttention` does.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: h, number of heads, at least 1.
        num_kv_heads: g, heads of keys and values; a divisor of `num_heads`. Head i
            reads head i // (h / g). Default None: `num_heads`.
        dropout_rate: share of the output that is dropped in training, [0, 1).
            Default 0.
        attention_dropout_rate: share of the attention weights that is dropped in
            training, [0, 1). Default 0.
        qkv_bias: True (default), False, or "qv" for queries and values only.
        use_output_bias: whether the output has a bias. Default True.
        normalization: "layer" (default) or "rms", kind of the normalizations below.
        query_key_norm: "head" normalizes queries and keys within each head, "width"
            over all heads together, before they are rotated. Default None: neither.
        use_context_norm: whether the heads together are normalized before the output
            layer. Default False.
        rotary_layout: "interleaved" or "half" if a rotation is passed to `call`,
            see `rotate`. Default None.
        epsilon: of the normalizations. Default 1e-6.

    Call arguments:
        tokens: the sequence.
        rotation: cosines and sines, (2, T, h or 1, d). Default None: none.
        training: whether dropout is active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if the numbers of heads do not divide, an option is none of those
            named, or the input has another width than `hidden_dim`.

    Reference: arXiv:2303.11331 (EVA-02: rotation, bias, context norm), arXiv:2302.05442
    (query and key norm), arXiv:2305.13245 (grouped queries).
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        qkv_bias: bool | str = True,
        use_output_bias: bool = True,
        normalization: str = "layer",
        query_key_norm: str | None = None,
        use_context_norm: bool = False,
        rotary_layout: str | None = None,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        groups = num_heads if num_kv_heads is None else num_kv_heads
        if num_heads < 1 or hidden_dim % num_heads or groups < 1 or num_heads % groups:
            raise ValueError(
                "hidden_dim must be a multiple of num_heads, and num_heads of "
                f"num_kv_heads, received hidden_dim={hidden_dim}, "
                f"num_heads={num_heads}, num_kv_heads={num_kv_heads}. Choose a "
                "num_heads that divides hidden_dim."
            )
        if qkv_bias not in (True, False, "qv") or (qkv_bias == "qv" and num_kv_heads):
            raise ValueError(
                "qkv_bias must be True, False or 'qv', the last without num_kv_heads, "
                f"received qkv_bias={qkv_bias!r}, num_kv_heads={num_kv_heads}. Use "
                "True, and a key bias of 0."
            )
        if query_key_norm not in (None, "head", "width"):
            raise ValueError(
                "query_key_norm must be 'head', 'width' or None, received "
                f"query_key_norm={query_key_norm!r}. Use 'head' for a norm per head."
            )
        if rotary_layout is not None:
            check_layout(rotary_layout)
        check_rate("dropout_rate", dropout_rate)
        check_rate("attention_dropout_rate", attention_dropout_rate)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.num_kv_heads = num_kv_heads
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.qkv_bias = qkv_bias
        self.use_output_bias = use_output_bias
        self.normalization = normalization
        self.query_key_norm = query_key_norm
        self.use_context_norm = use_context_norm
        self.rotary_layout = rotary_layout
        self.epsilon = epsilon
        self._head_dim = hidden_dim // num_heads
        self._num_groups = groups
        self._widths = (hidden_dim, groups * self._head_dim)
        with self.sublayers() as named:

            def norm(name: str, is_used: bool) -> keras.layers.Layer | None:
                if not is_used:
                    return None
                return make_normalization(normalization, epsilon, **named(name))

            self.qkv = keras.layers.Dense(
                self._widths[0] + 2 * self._widths[1],
                use_bias=qkv_bias is True,
                kernel_initializer=xavier_of_square(),
                **named("qkv"),
            )
            self.query_value_bias = None
            if qkv_bias == "qv":
                self.query_value_bias = QueryValueBias(**named("query_value_bias"))
            self.query_norm = norm("query_norm", query_key_norm is not None)
            self.key_norm = norm("key_norm", query_key_norm is not None)
            self.product = AttentionProduct(attention_dropout_rate, **named("product"))
            self.context_norm = norm("context_norm", use_context_norm)
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
        flat = (None, self.hidden_dim)
        self.qkv.build(flat)
        if self.query_value_bias is not None:
            self.query_value_bias.build((None, 3 * self.hidden_dim))
        if self.query_norm is not None and self.key_norm is not None:
            by_head = self.query_key_norm == "head"
            for layer, width in zip(
                (self.query_norm, self.key_norm), self._widths, strict=True
            ):
                layer.build((None, self._head_dim if by_head else width))
        self.product.build((batch, length, self.num_heads, self._head_dim))
        if self.context_norm is not None:
            self.context_norm.build(flat)
        self.output_projection.build(flat)
        self.dropout.build(flat)

    def call(
        self,
        tokens: Tensor,
        rotation: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        shape: Any = ops.shape(tokens)
        length = shape[1]
        x = self.qkv(ops.reshape(tokens, (-1, self.hidden_dim)))  # (B * T, D + 2 g d)
        if self.query_value_bias is not None:
            x = self.query_value_bias(x)
        first, second = self._widths[0], sum(self._widths)
        # Slices, because XNNPACK has no split into parts of different width; of rank
        # 3, because GPU delegates slice no less.
        x = ops.reshape(x, (-1, length, x.shape[-1]))  # (B, T, D + 2 g d)
        query, key = x[:, :, :first], x[:, :, first:second]
        value = x[:, :, second:]
        query = self._heads(query, self.query_norm, length, rotation)  # (B, T, h, d)
        key = self._heads(key, self.key_norm, length, rotation)  # (B, T, g, d)
        value = ops.reshape(value, (-1, length, self._num_groups, self._head_dim))
        if self._num_groups != self.num_heads:
            key, value = self._repeat(key, length), self._repeat(value, length)
        x = self.product(query, key, value, training=training)  # (B, T, h, d)
        x = ops.reshape(x, (-1, self.hidden_dim))  # (B * T, D)
        if self.context_norm is not None:
            x = self.context_norm(x)
        x = self.dropout(self.output_projection(x), training=training)
        return ops.reshape(x, (-1, length, self.hidden_dim))  # (B, T, D)

    def _heads(
        self,
        x: Tensor,
        norm: keras.layers.Layer | None,
        length: Any,
        rotation: Tensor | None,
    ) -> Tensor:
        """Split queries or keys (B, T, ...) into heads, normalize and rotate them."""
        num_heads = x.shape[-1] // self._head_dim
        if norm is not None and self.query_key_norm == "width":
            x = norm(x)
        x = ops.reshape(x, (-1, length, num_heads, self._head_dim))
        if norm is not None and self.query_key_norm == "head":
            x = norm(x)
        if rotation is not None:
            x = rotate(x, rotation, self.rotary_layout or "interleaved")
        return x

    def _repeat(self, x: Tensor, length: Any) -> Tensor:
        """Repeat each head of keys or values (B, T, g, d) for those that read it."""
        # Broadcast at rank 4; ops.repeat has rank 5, where mobile runtimes stop.
        copies = ops.ones((1, 1, self.num_heads // self._num_groups, 1), x.dtype)
        x = ops.reshape(x, (-1, self._num_groups, 1, self._head_dim)) * copies
        return ops.reshape(x, (-1, length, self.num_heads, self._head_dim))
