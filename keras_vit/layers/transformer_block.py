"""One encoder block. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

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
class TransformerBlock(CompositeLayer):
    """Add self-attention, then an MLP, to a sequence of tokens.

    z' = attention(norm(z)) + z, then mlp(norm(z')) + z'.

    Args:
        attention: layer that mixes the tokens, such as a new `SelfAttention`.
        mlp: layer that changes each token, such as a new `MLP`.
        norm: normalization of the tokens, of which the block makes two copies.
            Default None: `LayerNormalization()`.
        stochastic_depth_rate: share of the images that skip attention or MLP in
            training ("DropPath"), [0, 1). Default 0.
        layer_scale: first value of the factors, which are learned, by which the
            channels of attention and MLP are multiplied. Default None: no factors.
        use_mlp_layer_scale: whether the MLP has such factors, too. Default True.
        normalize_first: whether the norms stand before attention and MLP (default), or
            after them: z' = norm(attention(z)) + z, then norm(mlp(z')) + z'.

    Call arguments:
        tokens: the sequence.
        rotation: passed on to an attention that takes it. Default None.
        training: whether dropout and stochastic depth are active.
        return_attention_scores: whether the attention weights are returned, too.
            Default False.
        attention_offset: added to the attention weights, of their shape, for gradients
            with respect to them. Default None.

    Input shape: (B, T, D).
    Output shape: (B, T, D), and with `return_attention_scores` what the attention
        returns, (B, h, T, T).

    Raises:
        TypeError: if `attention` or `mlp` is no layer.
        ValueError: if one of them is in use already, they take another width than the
            input, or the rate is out of range.

    Example:
        ```python
        block = keras_vit.layers.TransformerBlock(
            keras_vit.layers.SelfAttention(hidden_dim=64, num_heads=4),
            keras_vit.layers.MLP(hidden_dim=64, mlp_dim=256),
        )
        tuple(block(keras.ops.ones((2, 197, 64))).shape)  # (2, 197, 64)
        ```

    Reference: arXiv:2010.11929, figure 1 (right) and equations 2 and 3. Later families:
    arXiv:2103.17239, equation 2 (layer scale); arXiv:2111.09883, section 3.2, and
    arXiv:2303.15389, EVA-02-CLIP-E (norms after the branches).
    """

    handed = ("attention", "mlp")
    is_repeated = True

    def __init__(
        self,
        attention: keras.layers.Layer,
        mlp: keras.layers.Layer,
        norm: keras.layers.Layer | None = None,
        stochastic_depth_rate: float = 0.0,
        layer_scale: float | None = None,
        use_mlp_layer_scale: bool = True,
        normalize_first: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_layer("attention", attention)
        check_layer("mlp", mlp)
        check_rate("stochastic_depth_rate", stochastic_depth_rate)
        norm = norm or LayerNormalization()
        self.stochastic_depth_rate = stochastic_depth_rate
        self.layer_scale = layer_scale
        self.use_mlp_layer_scale = use_mlp_layer_scale
        self.normalize_first = normalize_first
        with self.sublayers() as named:

            def scale(name: str, is_used: bool = True) -> LayerScale | None:
                if layer_scale is None or not is_used:
                    return None
                return LayerScale(layer_scale, **named(name))

            # One draw for each image: it keeps a whole branch or loses it.
            shape, rate = (None, 1, 1), stochastic_depth_rate
            stochastic_depth = partial(keras.layers.Dropout, rate, noise_shape=shape)
            self.attention_norm = copy_norm(norm, **named("attention_norm"))
            self.attention = attention
            self.attention_scale = scale("attention_scale")
            self.attention_stochastic_depth = stochastic_depth(
                **named("attention_stochastic_depth")
            )
            self.mlp_norm = copy_norm(norm, **named("mlp_norm"))
            self.mlp = mlp
            self.mlp_scale = scale("mlp_scale", use_mlp_layer_scale)
            self.mlp_stochastic_depth = stochastic_depth(
                **named("mlp_stochastic_depth")
            )

    @property
    def norm(self) -> keras.layers.Layer:
        """The first of its two copies: `get_config` asks for it by this name."""
        return self.attention_norm

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        build_each(input_shape, self.attention_norm, self.attention)
        build_each(input_shape, self.attention_scale, self.attention_stochastic_depth)
        build_each(input_shape, self.mlp_norm, self.mlp)
        build_each(input_shape, self.mlp_scale, self.mlp_stochastic_depth)

    def call(
        self,
        tokens: Tensor,
        rotation: Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
        options = scores_options(return_attention_scores, attention_offset)
        if rotation is not None:
            options["rotation"] = rotation
        first = self.normalize_first
        x = self.attention_norm(tokens) if first else tokens
        x = self.attention(x, training=training, **options)
        x, scores = x if return_attention_scores else (x, None)
        x = x if first else self.attention_norm(x)
        x = x if self.attention_scale is None else self.attention_scale(x)
        tokens = tokens + drop(self.attention_stochastic_depth, x, training)
        x = self.mlp(self.mlp_norm(tokens) if first else tokens, training=training)
        x = x if first else self.mlp_norm(x)
        x = x if self.mlp_scale is None else self.mlp_scale(x)
        tokens = tokens + drop(self.mlp_stochastic_depth, x, training)
        return (tokens, scores) if return_attention_scores else tokens
