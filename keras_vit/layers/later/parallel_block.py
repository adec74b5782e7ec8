"""Attention and MLP side by side. Shapes: B batch, T tokens, D hidden, M mlp."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Dense,
    Shape,
    Tensor,
    check_heads,
    check_rate,
    check_width,
    copy_norm,
    drop,
    scores_options,
)
from keras_vit.layers.later.channel_bias import ChannelBias
from keras_vit.layers.later.layer_scale import LayerScale
from keras_vit.layers.mlp import get_activation
from keras_vit.layers.normalization import LayerNormalization
from keras_vit.layers.self_attention import AttentionProduct


@keras.saving.register_keras_serializable(package="keras_vit")
class ParallelBlock(CompositeLayer):
    """Add self-attention and an MLP, both of the same normalized tokens, at once.

    z' = attention(norm(z)) + mlp(norm(z)) + z. One matrix product widens the tokens to
    [MLP, queries, keys, values], so the two cannot be layers that are handed over.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: h, number of attention heads, at least 1.
        mlp_dim: M, width inside the MLP, at least 1.
        activation: of the MLP. Default "gelu", which is exact.
        dropout_rate: share that is dropped in training inside the MLP, [0, 1).
            Default 0.
        norm: normalization of the tokens, which is copied. Default None:
            `LayerNormalization()`.
        product: layer that makes the output of each head from queries, keys and values.
            Default None: `AttentionProduct()`.
        use_qkv_bias: whether queries, keys and values have a bias; the MLP has one in
            any case. Default True.
        query_key_norm: normalization of queries and keys within each part of a head,
            which is copied for each. Default None: they are not normalized.
        num_norm_parts: parts of a head that are normalized one by one, 2 for
            differential attention. Default 1.
        use_joint_output: whether one matrix product, not two, projects attention and
            MLP back. Default False.
        stochastic_depth_rate: share of the images that skip the branch in training,
            [0, 1). Default 0.
        layer_scale: first value of the factors by which the channels of the branch are
            multiplied. Default None: no factors.

    Call arguments:
        tokens: the sequence.
        training: whether dropout and stochastic depth are active.
        return_attention_scores: whether the attention weights are returned, too.
            Default False.
        attention_offset: added to the attention weights, of their shape, for gradients
            with respect to them. Default None.

    Input shape: (B, T, D).
    Output shape: (B, T, D), and with `return_attention_scores` (B, h, T, T).

    Raises:
        ValueError: if the number of heads does not divide, or the input has another
            width than `hidden_dim`.

    Example:
        ```python
        block = keras_vit.layers.ParallelBlock(hidden_dim=64, num_heads=4, mlp_dim=128)
        tuple(block(keras.ops.ones((2, 5, 64))).shape)  # (2, 5, 64)
        ```

    Reference: arXiv:2302.05442, section 2 (ViT-22B); timm,
    models/vision_transformer.py, ParallelScalingBlock and DiffParallelScalingBlock.
    """

    handed = ("product",)

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        mlp_dim: int,
        activation: str = "gelu",
        dropout_rate: float = 0.0,
        norm: keras.layers.Layer | None = None,
        product: keras.layers.Layer | None = None,
        use_qkv_bias: bool = True,
        query_key_norm: keras.layers.Layer | None = None,
        num_norm_parts: int = 1,
        use_joint_output: bool = False,
        stochastic_depth_rate: float = 0.0,
        layer_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_heads(hidden_dim, num_heads)
        check_rate("dropout_rate", dropout_rate)
        check_rate("stochastic_depth_rate", stochastic_depth_rate)
        norm = norm or LayerNormalization()
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.dropout_rate = dropout_rate
        self.use_qkv_bias = use_qkv_bias
        self.num_norm_parts = num_norm_parts
        self.use_joint_output = use_joint_output
        self.stochastic_depth_rate = stochastic_depth_rate
        self.layer_scale = layer_scale
        self._activate = get_activation(activation)
        with self.sublayers() as named:
            self.norm = copy_norm(norm, **named("norm"))
            self.expand = Dense(
                mlp_dim + 3 * hidden_dim, use_bias=use_qkv_bias, **named("expand")
            )
            self.mlp_bias = None
            if not use_qkv_bias:
                self.mlp_bias = ChannelBias(**named("mlp_bias"))
            self.query_norm = copy_norm(query_key_norm, **named("query_norm"))
            self.key_norm = copy_norm(query_key_norm, **named("key_norm"))
            self.product = product or AttentionProduct(**named("product"))
            self.dropout = keras.layers.Dropout(dropout_rate, **named("dropout"))
            self.contract = self.attention_output = self.mlp_output = None
            if use_joint_output:
                self.contract = Dense(hidden_dim, **named("contract"))
            else:
                self.attention_output = Dense(hidden_dim, **named("attention_output"))
                self.mlp_output = Dense(hidden_dim, **named("mlp_output"))
            self.scale = None
            if layer_scale is not None:
                self.scale = LayerScale(layer_scale, **named("scale"))
            extra = {"noise_shape": (None, 1, 1), **named("stochastic_depth")}
            self.stochastic_depth = keras.layers.Dropout(stochastic_depth_rate, **extra)

    @property
    def query_key_norm(self) -> keras.layers.Layer | None:
        """The normalization of the queries; that of the keys is another copy of it."""
        return self.query_norm

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        batch, length, _ = input_shape
        head_dim = self.hidden_dim // self.num_heads
        self.norm.build(input_shape)
        self.expand.build((None, self.hidden_dim))
        if self.mlp_bias is not None:
            self.mlp_bias.build((None, self.mlp_dim))
        if self.query_norm is not None and self.key_norm is not None:
            self.query_norm.build((None, head_dim // self.num_norm_parts))
            self.key_norm.build((None, head_dim // self.num_norm_parts))
        self.product.build((batch, length, self.num_heads, head_dim))
        self.dropout.build((None, self.mlp_dim))
        if self.contract is not None:
            self.contract.build((None, self.hidden_dim + self.mlp_dim))
        if self.attention_output is not None and self.mlp_output is not None:
            self.attention_output.build((None, self.hidden_dim))
            self.mlp_output.build((None, self.mlp_dim))
        if self.scale is not None:
            self.scale.build(input_shape)
        self.stochastic_depth.build(input_shape)

    def call(
        self,
        tokens: Tensor,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
        length, width = ops.shape(tokens)[1], self.hidden_dim
        x = ops.reshape(self.norm(tokens), (-1, width))  # (B * T, D)
        x = self.expand(x)  # (B * T, M + 3 D)
        # A slice, because XNNPACK has no split into parts of different width; of rank
        # 3, because GPU delegates slice no less.
        x = ops.reshape(x, (-1, length, x.shape[-1]))  # (B, T, M + 3 D)
        mlp = ops.reshape(x[:, :, : self.mlp_dim], (-1, self.mlp_dim))  # (B * T, M)
        query, key, value = ops.split(x[:, :, self.mlp_dim :], 3, axis=-1)
        query = self._heads(query, self.query_norm, length)  # (B, T, h, d)
        key = self._heads(key, self.key_norm, length)  # (B, T, h, d)
        value = self._heads(value, None, length)  # (B, T, h, d)
        options = scores_options(return_attention_scores, attention_offset)
        x = self.product(query, key, value, training=training, **options)
        context, scores = x if return_attention_scores else (x, None)
        context = ops.reshape(context, (-1, width))  # (B * T, D)
        if self.mlp_bias is not None:
            mlp = self.mlp_bias(mlp)
        mlp = drop(self.dropout, self._activate(mlp), training)  # (B * T, M)
        x = ops.reshape(self._project(context, mlp), (-1, length, width))  # (B, T, D)
        if self.scale is not None:
            x = self.scale(x)
        tokens = tokens + drop(self.stochastic_depth, x, training)
        return (tokens, scores) if return_attention_scores else tokens

    def _heads(self, x: Tensor, norm: Any, length: Any) -> Tensor:
        """Split queries, keys or values (B, T, D) into heads and normalize them."""
        num_heads, head_dim = self.num_heads, self.hidden_dim // self.num_heads
        parts = self.num_norm_parts
        if norm is not None and parts > 1:
            x = ops.reshape(x, (-1, length, parts * num_heads, head_dim // parts))
            x = norm(x)
        x = ops.reshape(x, (-1, length, num_heads, head_dim))
        return norm(x) if norm is not None and parts == 1 else x

    def _project(self, context: Tensor, mlp: Tensor) -> Tensor:
        """Return attention (B * T, D) and MLP (B * T, M), projected back and added."""
        if self.contract is not None:
            return self.contract(ops.concatenate([context, mlp], axis=-1))
        return self.attention_output(context) + self.mlp_output(mlp)  # pyright: ignore[reportOptionalCall]
