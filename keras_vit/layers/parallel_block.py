"""Attention and MLP side by side. Shapes: B batch, T tokens, D hidden, M mlp."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.activations import get_activation
from keras_vit.layers.attention_product import AttentionProduct
from keras_vit.layers.channel_bias import ChannelBias
from keras_vit.layers.composite import CompositeLayer
from keras_vit.layers.differential_product import DifferentialProduct
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.shapes import Shape, Tensor, check_rate, check_width
from keras_vit.layers.stochastic_depth import StochasticDepth


@keras.saving.register_keras_serializable(package="keras_vit")
class ParallelBlock(CompositeLayer):
    """Add self-attention and an MLP, both of the same normalized tokens, at once.

    z' = attention(norm(z)) + mlp(norm(z)) + z. One matrix product widens the tokens to
    [MLP, queries, keys, values].

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: number of attention heads, at least 1.
        mlp_dim: M, width inside the MLP, at least 1.
        dropout_rate: share that is dropped in training inside the MLP, [0, 1).
            Default 0.
        attention_dropout_rate: share of the attention weights that is dropped in
            training, [0, 1). Default 0.
        stochastic_depth_rate: share of the images that skip the branch in training,
            [0, 1). Default 0.
        epsilon: of the normalizations. Default 1e-6.
        activation: of the MLP. Default "gelu", which is exact.
        normalization: "layer" (default) or "rms".
        layer_scale: first value of the factors by which the channels of the branch are
            multiplied. Default None: no factors.
        use_qkv_bias: whether queries, keys and values have a bias; the MLP has one in
            any case. Default True.
        use_query_key_norm: whether queries and keys are normalized within each head.
            Default False.
        use_joint_output: whether one matrix product, not two, projects attention and
            MLP back. Default False.
        depth: number of the block, from 0, for differential attention. Default None:
            softmax attention.

    Call arguments:
        tokens: the sequence.
        training: whether dropout and stochastic depth are active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if the number of heads does not divide, or the input has another
            width than `hidden_dim`.

    Reference: arXiv:2302.05442, section 2 (ViT-22B); timm,
    models/vision_transformer.py, ParallelScalingBlock and DiffParallelScalingBlock.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: int,
        mlp_dim: int,
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        stochastic_depth_rate: float = 0.0,
        epsilon: float = 1e-6,
        activation: str = "gelu",
        normalization: str = "layer",
        layer_scale: float | None = None,
        use_qkv_bias: bool = True,
        use_query_key_norm: bool = False,
        use_joint_output: bool = False,
        depth: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        parts = num_heads if depth is None else 2 * num_heads
        if num_heads < 1 or hidden_dim % parts:
            raise ValueError(
                "hidden_dim must be a multiple of num_heads, and of twice that for "
                f"differential attention, received hidden_dim={hidden_dim}, "
                f"num_heads={num_heads}, depth={depth}. Choose a num_heads that "
                "divides hidden_dim."
            )
        check_rate("dropout_rate", dropout_rate)
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.stochastic_depth_rate = stochastic_depth_rate
        self.epsilon = epsilon
        self.activation = activation
        self.normalization = normalization
        self.layer_scale = layer_scale
        self.use_qkv_bias = use_qkv_bias
        self.use_query_key_norm = use_query_key_norm
        self.use_joint_output = use_joint_output
        self.depth = depth
        self._activate = get_activation(activation)
        self._num_parts = parts  # heads of queries and keys
        with self.sublayers() as named:

            def norm(name: str) -> Any:
                return make_normalization(normalization, epsilon, **named(name))

            def dense(
                name: str, width: int, use_bias: bool = True
            ) -> keras.layers.Dense:
                return keras.layers.Dense(
                    width,
                    use_bias=use_bias,
                    kernel_initializer="glorot_uniform",
                    **named(name),
                )

            self.norm = norm("norm")
            self.expand = dense("expand", mlp_dim + 3 * hidden_dim, use_qkv_bias)
            self.mlp_bias = None
            if not use_qkv_bias:
                self.mlp_bias = ChannelBias(**named("mlp_bias"))
            self.query_norm = norm("query_norm") if use_query_key_norm else None
            self.key_norm = norm("key_norm") if use_query_key_norm else None
            if depth is None:
                self.product = AttentionProduct(
                    attention_dropout_rate, **named("product")
                )
            else:
                self.product = DifferentialProduct(
                    depth, attention_dropout_rate, **named("product")
                )
            self.dropout = keras.layers.Dropout(dropout_rate, **named("dropout"))
            self.contract = self.attention_output = self.mlp_output = None
            if use_joint_output:
                self.contract = dense("contract", hidden_dim)
            else:
                self.attention_output = dense("attention_output", hidden_dim)
                self.mlp_output = dense("mlp_output", hidden_dim)
            self.scale = None
            if layer_scale is not None:
                self.scale = LayerScale(layer_scale, **named("scale"))
            self.stochastic_depth = StochasticDepth(
                stochastic_depth_rate, **named("stochastic_depth")
            )

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        batch, length, _ = input_shape
        head_dim = self.hidden_dim // self._num_parts
        self.norm.build(input_shape)
        self.expand.build((None, self.hidden_dim))
        if self.mlp_bias is not None:
            self.mlp_bias.build((None, self.mlp_dim))
        if self.query_norm is not None and self.key_norm is not None:
            self.query_norm.build((None, head_dim))
            self.key_norm.build((None, head_dim))
        self.product.build((batch, length, self._num_parts, head_dim))
        self.dropout.build((None, self.mlp_dim))
        if self.contract is not None:
            self.contract.build((None, self.hidden_dim + self.mlp_dim))
        if self.attention_output is not None and self.mlp_output is not None:
            self.attention_output.build((None, self.hidden_dim))
            self.mlp_output.build((None, self.mlp_dim))
        if self.scale is not None:
            self.scale.build(input_shape)
        self.stochastic_depth.build(input_shape)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        shape: Any = ops.shape(tokens)
        length, width = shape[1], self.hidden_dim
        x = ops.reshape(self.norm(tokens), (-1, width))  # (B * T, D)
        x = self.expand(x)  # (B * T, M + 3 D)
        # A slice, because XNNPACK has no split into parts of different width; of rank
        # 3, because GPU delegates slice no less.
        x = ops.reshape(x, (-1, length, x.shape[-1]))  # (B, T, M + 3 D)
        mlp = ops.reshape(x[:, :, : self.mlp_dim], (-1, self.mlp_dim))  # (B * T, M)
        query, key, value = ops.split(x[:, :, self.mlp_dim :], 3, axis=-1)
        heads = (-1, length, self._num_parts, width // self._num_parts)
        query, key = ops.reshape(query, heads), ops.reshape(key, heads)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        heads = (-1, length, self.num_heads, width // self.num_heads)
        value = ops.reshape(value, heads)
        context = self.product(query, key, value, training=training)  # (B, T, h, d)
        context = ops.reshape(context, (-1, width))  # (B * T, D)
        if self.mlp_bias is not None:
            mlp = self.mlp_bias(mlp)
        mlp = self.dropout(self._activate(mlp), training=training)  # (B * T, M)
        if self.contract is not None:
            x = self.contract(ops.concatenate([context, mlp], axis=-1))
        else:
            x = self.attention_output(context) + self.mlp_output(mlp)  # pyright: ignore[reportOptionalCall]
        x = ops.reshape(x, (-1, length, width))  # (B, T, D)
        if self.scale is not None:
            x = self.scale(x)
        return tokens + self.stochastic_depth(x, training=training)
