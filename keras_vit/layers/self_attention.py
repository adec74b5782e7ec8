"""Multi-head self-attention.

Shapes: B batch, T tokens, D hidden, h heads, d = D / h, g heads of keys and values.
"""

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
    check_heads,
    check_rate,
    check_width,
    copy_norm,
    drop,
    scores_options,
    wide_dtype,
)
from keras_vit.layers.later.query_value_bias import QueryValueBias, check_bias
from keras_vit.layers.positions.rotation import check_layout, rotate


@keras.saving.register_keras_serializable(package="keras_vit")
class SelfAttention(CompositeLayer):
    """Let each token read from all tokens, with several heads.

    Query, key and value come from one matrix product, in this order along the last
    axis, heads in a row within each: a timm `qkv` weight is the transpose of this
    kernel. The options from `qkv_bias` on are those of later families; left at
    their defaults they cost nothing.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: h, number of heads, at least 1.
        dropout_rate: share of the output that is dropped in training, [0, 1).
            Default 0.
        attention_dropout_rate: share of the attention weights that is dropped in
            training, [0, 1). Default 0.
        qkv_bias: whether queries, keys and values have a bias; "qv" for queries and
            values only. Default True.
        use_output_bias: whether the output has a bias. Default True.
        num_kv_heads: g, heads of keys and values; a divisor of `num_heads`. Head i
            reads head i // (h / g). Default None: `num_heads`.
        query_key_norm: normalization of queries and keys before they are rotated,
            which is copied for each. Default None: they are not normalized.
        is_norm_per_head: whether `query_key_norm` looks at each head for itself
            (default), or at all heads together.
        context_norm: normalization of the heads together before the output layer,
            which is copied. Default None: they are not normalized.
        rotary_layout: which channels a rotation turns together, "interleaved"
            (default) or "half"; see `rotate`.
        product: layer that makes the output of each head from queries, keys and values.
            Default None: `AttentionProduct(attention_dropout_rate)`.

    Call arguments:
        tokens: the sequence.
        rotation: cosines and sines, (2, T, h or 1, d), by which queries and keys are
            rotated. Default None: they are not.
        training: whether dropout is active.
        return_attention_scores: whether the attention weights are returned, too.
            Default False.
        attention_offset: added to the attention weights, of their shape, for gradients
            with respect to them. Default None.

    Input shape: (B, T, D).
    Output shape: (B, T, D), and with `return_attention_scores` (B, h, T, T): how much
        each token (third axis) reads from each token (last axis).

    Raises:
        ValueError: if the numbers of heads do not divide, an option is none of those
            named, or the input has another width than `hidden_dim`.

    Example:
        ```python
        attention = keras_vit.layers.SelfAttention(hidden_dim=64, num_heads=4)
        tokens = keras.random.normal((2, 5, 64))
        found, weights = attention(tokens, return_attention_scores=True)
        tuple(found.shape), tuple(weights.shape)  # ((2, 5, 64), (2, 4, 5, 5))
        ```

    Reference: arXiv:2010.11929, appendix A, equations 5 to 8. Initialization as in
    google-research/vision_transformer, vit_jax/models_vit.py: Xavier uniform for each
    of the four matrices, zero biases. Later families: arXiv:2303.11331 (EVA-02:
    rotation, bias, context norm), arXiv:2302.05442 (query and key norm),
    arXiv:2305.13245 (grouped queries).
    """

    handed = ("product",)
    is_part = True

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        qkv_bias: bool | str = True,
        use_output_bias: bool = True,
        num_kv_heads: int | None = None,
        query_key_norm: keras.layers.Layer | None = None,
        is_norm_per_head: bool = True,
        context_norm: keras.layers.Layer | None = None,
        rotary_layout: str = "interleaved",
        product: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_heads(hidden_dim, num_heads, num_kv_heads)
        check_rate("dropout_rate", dropout_rate)
        check_rate("attention_dropout_rate", attention_dropout_rate)
        if rotary_layout != "interleaved":
            check_layout(rotary_layout)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.qkv_bias = qkv_bias
        self.use_output_bias = use_output_bias
        self.num_kv_heads = num_kv_heads
        self.is_norm_per_head = is_norm_per_head
        self.rotary_layout = rotary_layout
        self._head_dim = hidden_dim // num_heads
        self._kv_dim = self._head_dim * (num_kv_heads or num_heads)
        with self.sublayers() as named:
            width, has_bias = hidden_dim + 2 * self._kv_dim, qkv_bias is True
            self.qkv = Dense(width, None, has_bias, xavier_of_square(), **named("qkv"))
            self.query_value_bias = None
            if isinstance(qkv_bias, str):
                check_bias(qkv_bias, num_kv_heads)
                self.query_value_bias = QueryValueBias(**named("query_value_bias"))
            self.query_norm = copy_norm(query_key_norm, **named("query_norm"))
            self.key_norm = copy_norm(query_key_norm, **named("key_norm"))
            self.product = product or AttentionProduct(
                attention_dropout_rate, **named("product")
            )
            self.context_norm = copy_norm(context_norm, **named("context_norm"))
            self.output_projection = Dense(
                hidden_dim, use_bias=use_output_bias, **named("output_projection")
            )
            self.dropout = keras.layers.Dropout(dropout_rate, **named("dropout"))

    @property
    def query_key_norm(self) -> keras.layers.Layer | None:
        """The normalization of the queries; that of the keys is another copy of it."""
        return self.query_norm

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        flat = (None, self.hidden_dim)
        self.qkv.build(flat)
        build_each((None, 3 * self.hidden_dim), self.query_value_bias)
        if self.query_norm is not None:
            self._build_norms()
        self.product.build((*input_shape[:2], self.num_heads, self._head_dim))
        build_each(flat, self.context_norm, self.output_projection, self.dropout)

    def _build_norms(self) -> None:
        widths = (self.hidden_dim, self._kv_dim)
        if self.is_norm_per_head:
            widths = (self._head_dim, self._head_dim)
        self.query_norm.build((None, widths[0]))
        self.key_norm.build((None, widths[1]))

    def call(
        self,
        tokens: Tensor,
        rotation: Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
        length = ops.shape(tokens)[1]
        x = self.qkv(ops.reshape(tokens, (-1, self.hidden_dim)))  # (B * T, D + 2 g d)
        if self.query_value_bias is not None:
            x = self.query_value_bias(x)
        query, key, value = self._split(x, length)
        query = self._heads(query, length, self.query_norm, rotation)  # (B, T, h, d)
        key = self._heads(key, length, self.key_norm, rotation)  # (B, T, g, d)
        value = self._heads(value, length)  # (B, T, g, d)
        if self.num_kv_heads is not None:
            key, value = self._repeat(key, length), self._repeat(value, length)
        options = scores_options(return_attention_scores, attention_offset)
        x = self.product(query, key, value, training=training, **options)
        x, scores = x if return_attention_scores else (x, None)  # (B, T, h, d)
        x = ops.reshape(x, (-1, self.hidden_dim))  # (B * T, D)
        if self.context_norm is not None:
            x = self.context_norm(x)
        x = drop(self.dropout, self.output_projection(x), training)
        x = ops.reshape(x, (-1, length, self.hidden_dim))  # (B, T, D)
        return (x, scores) if return_attention_scores else x

    def _split(self, x: Tensor, length: Any) -> Any:
        """Return queries, keys and values of all heads, (..., D), (..., g d) twice."""
        if self.num_kv_heads is None:
            return ops.split(x, 3, axis=-1)  # (B * T, D) each
        # Slices, because XNNPACK has no split into parts of different width; of rank
        # 3, because GPU delegates slice no less.
        first, second = self.hidden_dim, self.hidden_dim + self._kv_dim
        x = ops.reshape(x, (-1, length, x.shape[-1]))  # (B, T, D + 2 g d)
        return x[:, :, :first], x[:, :, first:second], x[:, :, second:]

    def _heads(
        self, x: Tensor, length: Any, norm: Any = None, rotation: Tensor | None = None
    ) -> Tensor:
        """Split queries, keys or values into heads, normalize and rotate them."""
        num_heads = x.shape[-1] // self._head_dim
        if norm is not None and not self.is_norm_per_head:
            x = norm(x)
        x = ops.reshape(x, (-1, length, num_heads, self._head_dim))
        if norm is not None and self.is_norm_per_head:
            x = norm(x)
        return x if rotation is None else rotate(x, rotation, self.rotary_layout)

    def _repeat(self, x: Tensor, length: Any) -> Tensor:
        """Repeat each head of keys or values (B, T, g, d) for those that read it."""
        # Broadcast at rank 4; ops.repeat has rank 5, where mobile runtimes stop.
        groups = x.shape[2]
        copies = ops.ones((1, 1, self.num_heads // groups, 1), x.dtype)
        x = ops.reshape(x, (-1, groups, 1, self._head_dim)) * copies
        return ops.reshape(x, (-1, length, self.num_heads, self._head_dim))


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionProduct(CompositeLayer):
    """softmax(q k^T / sqrt(d)) v for each head.

    Args:
        dropout_rate: share of the attention weights that is dropped in training,
            [0, 1). Default 0.

    Call arguments:
        query: (B, T, h, d).
        key: (B, T, h, d).
        value: (B, T, h, any).
        training: whether dropout is active.
        return_attention_scores: whether the weights, before dropout, are returned, too.
            Default False.
        attention_offset: added to the weights, (B, h, T, T). Default None.

    Output shape: that of `value`, and with `return_attention_scores` (B, h, T, T).

    Example:
        ```python
        product = keras_vit.layers.AttentionProduct()
        query, key, value = (keras.random.normal((2, 5, 4, 16)) for _ in range(3))
        tuple(product(query, key, value).shape)  # (2, 5, 4, 16)
        ```

    Reference: arXiv:1706.03762, equation 1.
    """

    is_part = True

    def __init__(self, dropout_rate: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_rate("dropout_rate", dropout_rate)
        self.dropout_rate = dropout_rate
        with self.sublayers() as named:
            self.dropout = keras.layers.Dropout(dropout_rate, **named("dropout"))

    def build(self, query_shape: Shape) -> None:
        self._has_fused_op = _has_fused_op()
        self.dropout.build(query_shape)  # Any shape: it has no weights.

    def call(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
        # JAX's fused form takes no values of another width, as differential attention
        # has them.
        is_fused = self._has_fused_op and query.shape[-1] == value.shape[-1]
        needs_weights = return_attention_scores or (training and self.dropout_rate)
        if is_fused and not needs_weights and attention_offset is None:
            return _attend_in_one_op(query, key, value)
        # Two products, so that dropout can reach the weights between them.
        scale = query.shape[-1] ** -0.5
        query, key, value = (
            ops.transpose(x, (0, 2, 1, 3)) for x in (query * scale, key, value)
        )  # (B, h, T, d)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # (B, h, T, T)
        weights = ops.softmax(ops.cast(scores, wide_dtype(self)), axis=-1)
        weights = ops.cast(weights, self.compute_dtype)
        weights = weights if attention_offset is None else weights + attention_offset
        dropped = drop(self.dropout, weights, training)
        x = ops.transpose(ops.matmul(dropped, value), (0, 2, 1, 3))  # (B, T, h, d)
        return (x, weights) if return_attention_scores else x

    def compute_output_shape(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query_shape: Shape, key_shape: Shape, value_shape: Shape
    ) -> Shape:
        return tuple(value_shape)


def _attend_in_one_op(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the same as the products, (B, T, h, d), from one op of the backend."""
    if keras.backend.backend() != "torch":
        return ops.dot_product_attention(query, key, value)
    import torch

    # Not that of Keras, which asks torch for its kernels, where torch.compile gives up.
    heads = (x.transpose(1, 2) for x in (query, key, value))  # (B, h, T, d)
    return torch.nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2)


def _has_fused_op() -> bool:
    """Return whether an op of the backend is the faster form of attention here.

    On torch and on JAX's accelerators it is a kernel of its own. TensorFlow and JAX's
    CPU decompose it and were slower than the products here; on the CPU JAX's does not
    run in float16 either (JAX 0.10).
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return backend == "torch"


def xavier_of_square() -> Any:
    """Return Xavier uniform of a (D, D) matrix, for several side by side in one kernel.

    A single (D, 3 D) one would have a smaller limit. sqrt(3 * scale / fan_avg) =
    sqrt(3 / D) with fan_avg = 2 D.
    """
    return keras.initializers.VarianceScaling(
        scale=2.0, mode="fan_avg", distribution="uniform"
    )
