"""Two attentions, then two MLPs, side by side. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Shape,
    Tensor,
    build_each,
    check_layer,
    check_rank,
    check_rate,
    copy_norm,
    drop,
    scores_options,
)
from keras_vit.layers.later.layer_scale import LayerScale
from keras_vit.layers.normalization import LayerNormalization


@keras.saving.register_keras_serializable(package="keras_vit")
class TwinBlock(CompositeLayer):
    """Add two self-attentions at once, then two MLPs at once.

    z' = a_1(z) + a_2(z) + z, then m_1(z') + m_2(z') + z'.

    Args:
        attention_0: first branch that mixes the tokens, such as a `Branch` of a new
            `SelfAttention`.
        attention_1: second such branch.
        mlp_0: first branch that changes each token, such as a `Branch` of a new `MLP`.
        mlp_1: second such branch.

    Call arguments:
        tokens: the sequence.
        training: whether dropout and stochastic depth are active.
        return_attention_scores: whether the attention weights are returned, too, the
            heads of both attentions in a row. Default False.
        attention_offset: added to the attention weights, of their shape, for gradients
            with respect to them. Default None.

    Input shape: (B, T, D).
    Output shape: (B, T, D), and with `return_attention_scores` (B, 2 h, T, T).

    Raises:
        TypeError: if a branch is no layer.
        ValueError: if a branch is in use already, or takes another width.

    Example:
        ```python
        from keras_vit.layers import MLP, Branch, SelfAttention, TwinBlock

        block = TwinBlock(
            *(Branch(SelfAttention(hidden_dim=64, num_heads=4)) for _ in range(2)),
            *(Branch(MLP(hidden_dim=64, mlp_dim=128)) for _ in range(2)),
        )
        tuple(block(keras.ops.ones((2, 5, 64))).shape)  # (2, 5, 64)
        ```

    Reference: arXiv:2203.09795, section 3.
    """

    handed = ("attention_0", "attention_1", "mlp_0", "mlp_1")

    def __init__(
        self,
        attention_0: keras.layers.Layer,
        attention_1: keras.layers.Layer,
        mlp_0: keras.layers.Layer,
        mlp_1: keras.layers.Layer,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        branches = (attention_0, attention_1, mlp_0, mlp_1)
        for name, branch in zip(self.handed, branches, strict=True):
            check_layer(name, branch)
        with self.sublayers():
            self.attention_0 = attention_0
            self.attention_1 = attention_1
            self.mlp_0 = mlp_0
            self.mlp_1 = mlp_1

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        build_each(input_shape, *(getattr(self, name) for name in self.handed))

    def call(
        self,
        tokens: Tensor,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
        offsets = (None, None)
        if attention_offset is not None:
            offsets = ops.split(attention_offset, 2, axis=1)
        first, second = (
            branch(
                tokens,
                training=training,
                **scores_options(return_attention_scores, offset),
            )
            for branch, offset in zip(
                (self.attention_0, self.attention_1), offsets, strict=True
            )
        )
        scores = None
        if return_attention_scores:
            (first, weights), (second, others) = first, second
            scores = ops.concatenate([weights, others], axis=1)  # (B, 2 h, T, T)
        tokens = tokens + first + second
        first = self.mlp_0(tokens, training=training)
        tokens = tokens + first + self.mlp_1(tokens, training=training)
        return (tokens, scores) if return_attention_scores else tokens


@keras.saving.register_keras_serializable(package="keras_vit")
class Branch(CompositeLayer):
    """Normalize the tokens, run a layer, scale its channels.

    Args:
        layer: such as a new `SelfAttention` or `MLP`.
        norm: normalization of the tokens, which is copied. Default None:
            `LayerNormalization()`.
        stochastic_depth_rate: share of the images that skip the branch in training,
            [0, 1). Default 0.
        layer_scale: first value of the factors by which the channels are multiplied.
            Default None: no factors.

    Call arguments:
        tokens: the sequence.
        training: whether dropout and stochastic depth are active.
        return_attention_scores: whether the weights of an attention are returned, too.
            Default False.
        attention_offset: handed on to an attention. Default None.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        TypeError: if `layer` is no layer.
        ValueError: if `layer` is in use already, or the rate is out of range.

    Example:
        ```python
        mlp = keras_vit.layers.MLP(hidden_dim=64, mlp_dim=128)
        branch = keras_vit.layers.Branch(mlp, stochastic_depth_rate=0.1)
        tuple(branch(keras.ops.ones((2, 5, 64))).shape)  # (2, 5, 64)
        ```

    Reference: arXiv:2203.09795, section 3.
    """

    handed = ("layer",)
    is_part = True

    def __init__(
        self,
        layer: keras.layers.Layer,
        norm: keras.layers.Layer | None = None,
        stochastic_depth_rate: float = 0.0,
        layer_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rate("stochastic_depth_rate", stochastic_depth_rate)
        check_layer("layer", layer)
        norm = norm or LayerNormalization()
        self.stochastic_depth_rate = stochastic_depth_rate
        self.layer_scale = layer_scale
        with self.sublayers() as named:
            self.norm = copy_norm(norm, **named("norm"))
            self.layer = layer
            self.scale = None
            if layer_scale is not None:
                self.scale = LayerScale(layer_scale, **named("scale"))
            extra = {"noise_shape": (None, 1, 1), **named("stochastic_depth")}
            self.stochastic_depth = keras.layers.Dropout(stochastic_depth_rate, **extra)

    def build(self, input_shape: Shape) -> None:
        build_each(input_shape, self.norm, self.layer, self.scale)
        self.stochastic_depth.build(input_shape)

    def call(
        self,
        tokens: Tensor,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
        options = scores_options(return_attention_scores, attention_offset)
        x = self.layer(self.norm(tokens), training=training, **options)
        x, scores = x if return_attention_scores else (x, None)
        if self.scale is not None:
            x = self.scale(x)
        x = drop(self.stochastic_depth, x, training)
        return (x, scores) if return_attention_scores else x
