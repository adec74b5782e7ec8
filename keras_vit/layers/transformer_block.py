"""One pre-norm encoder block. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.layers.composite import CompositeLayer, build_each
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.mlp import MLP
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.self_attention import SelfAttention
from keras_vit.layers.shapes import Shape, Tensor, check_width
from keras_vit.layers.stochastic_depth import StochasticDepth
from keras_vit.layers.templates import Template, copy_layer, serialize


@keras.saving.register_keras_serializable(package="keras_vit")
class TransformerBlock(CompositeLayer):
    """Add self-attention, then an MLP, to a sequence of tokens.

    z' = attention(norm(z)) + z, then mlp(norm(z')) + z'.

    Args:
        hidden_dim: D, width of a token; a multiple of `num_heads`.
        num_heads: number of attention heads, at least 1.
        mlp_dim: width inside the MLP, at least 1.
        dropout_rate: share that is dropped in training after the attention and after
            each layer of the MLP, [0, 1). Default 0.
        attention_dropout_rate: share of the attention weights that is dropped in
            training, [0, 1). Default 0.
        stochastic_depth_rate: share of the images that skip a branch in training,
            [0, 1). Default 0.
        epsilon: of the two layer normalizations. Default 1e-6.
        activation: of the MLP. Default "gelu", which is exact.
        normalization: "layer" (default) or "rms".
        layer_scale: first value of the factors by which the channels of each branch
            are multiplied. Default None: no factors.
        use_mlp_layer_scale: whether the MLP has such factors, too. Default True.
        attention: a layer that the block copies for its attention, which replaces the
            options above. Default None: `SelfAttention`.
        mlp: the same for the MLP. Default None: `MLP`.

    Call arguments:
        tokens: the sequence.
        rotation: passed on to an attention that takes it. Default None.
        training: whether dropout and stochastic depth are active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if `hidden_dim` is not a multiple of `num_heads`, there is no such
            activation, or the input has another width than `hidden_dim`.

    Example:
        >>> block = keras_vit.layers.TransformerBlock(
        ...     hidden_dim=32, num_heads=4, mlp_dim=64
        ... )
        >>> tuple(block(keras.ops.zeros((2, 5, 32))).shape)
        (2, 5, 32)

    Reference: arXiv:2010.11929, figure 1 (right) and equations 2 and 3;
    arXiv:2103.17239, equation 2 (layer scale).
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
        use_mlp_layer_scale: bool = True,
        attention: Template = None,
        mlp: Template = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        self.use_mlp_layer_scale = use_mlp_layer_scale
        self._attention_template = serialize(attention)
        self._mlp_template = serialize(mlp)
        with self.sublayers() as named:
            self.attention_norm = make_normalization(
                normalization, epsilon, **named("attention_norm")
            )
            if self._attention_template is None:
                self.attention = SelfAttention(
                    hidden_dim,
                    num_heads,
                    dropout_rate,
                    attention_dropout_rate,
                    **named("attention"),
                )
            else:
                self.attention = copy_layer(
                    self._attention_template, **named("attention")
                )
            self.attention_scale = None
            if layer_scale is not None:
                self.attention_scale = LayerScale(
                    layer_scale, **named("attention_scale")
                )
            self.attention_stochastic_depth = StochasticDepth(
                stochastic_depth_rate, **named("attention_stochastic_depth")
            )
            self.mlp_norm = make_normalization(
                normalization, epsilon, **named("mlp_norm")
            )
            if self._mlp_template is None:
                self.mlp = MLP(
                    hidden_dim, mlp_dim, activation, dropout_rate, **named("mlp")
                )
            else:
                self.mlp = copy_layer(self._mlp_template, **named("mlp"))
            self.mlp_scale = None
            if layer_scale is not None and use_mlp_layer_scale:
                self.mlp_scale = LayerScale(layer_scale, **named("mlp_scale"))
            self.mlp_stochastic_depth = StochasticDepth(
                stochastic_depth_rate, **named("mlp_stochastic_depth")
            )

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        build_each(
            input_shape,
            self.attention_norm,
            self.attention,
            self.attention_scale,
            self.attention_stochastic_depth,
            self.mlp_norm,
            self.mlp,
            self.mlp_scale,
            self.mlp_stochastic_depth,
        )

    def call(
        self,
        tokens: Tensor,
        rotation: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        rotated = {} if rotation is None else {"rotation": rotation}
        x = self.attention(self.attention_norm(tokens), training=training, **rotated)
        if self.attention_scale is not None:
            x = self.attention_scale(x)
        tokens = tokens + self.attention_stochastic_depth(x, training=training)
        x = self.mlp(self.mlp_norm(tokens), training=training)
        if self.mlp_scale is not None:
            x = self.mlp_scale(x)
        return tokens + self.mlp_stochastic_depth(x, training=training)
