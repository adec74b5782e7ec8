"""One normalized, scaled branch of a block. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.layers.composite import CompositeLayer, build_each
from keras_vit.layers.layer_scale import LayerScale
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.shapes import Shape, Tensor
from keras_vit.layers.stochastic_depth import StochasticDepth
from keras_vit.layers.templates import Template, copy_layer, serialize


@keras.saving.register_keras_serializable(package="keras_vit")
class Branch(CompositeLayer):
    """Normalize the tokens, run a layer, scale its channels.

    Args:
        layer: the layer to copy, such as `SelfAttention` or `MLP`.
        stochastic_depth_rate: share of the images that skip the branch in training,
            [0, 1). Default 0.
        epsilon: of the normalization. Default 1e-6.
        normalization: "layer" (default) or "rms".
        layer_scale: first value of the factors by which the channels are multiplied.
            Default None: no factors.

    Call arguments:
        tokens: the sequence.
        training: whether dropout and stochastic depth are active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        TypeError: if `layer` is no layer.
        ValueError: if `layer` is None.

    Reference: arXiv:2203.09795, section 3.
    """

    def __init__(
        self,
        layer: Template,
        stochastic_depth_rate: float = 0.0,
        epsilon: float = 1e-6,
        normalization: str = "layer",
        layer_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if layer is None:
            raise ValueError(
                "layer must be a layer to run, received layer=None. Pass one such as "
                "SelfAttention(...)."
            )
        self._layer_template = serialize(layer) or {}
        self.stochastic_depth_rate = stochastic_depth_rate
        self.epsilon = epsilon
        self.normalization = normalization
        self.layer_scale = layer_scale
        with self.sublayers() as named:
            self.norm = make_normalization(normalization, epsilon, **named("norm"))
            self.layer = copy_layer(self._layer_template, **named("layer"))
            self.scale = None
            if layer_scale is not None:
                self.scale = LayerScale(layer_scale, **named("scale"))
            self.stochastic_depth = StochasticDepth(
                stochastic_depth_rate, **named("stochastic_depth")
            )

    def build(self, input_shape: Shape) -> None:
        build_each(input_shape, self.norm, self.layer, self.scale)
        self.stochastic_depth.build(input_shape)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        x = self.layer(self.norm(tokens), training=training)
        if self.scale is not None:
            x = self.scale(x)
        return self.stochastic_depth(x, training=training)
