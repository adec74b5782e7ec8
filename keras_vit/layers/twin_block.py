"""Two attentions, then two MLPs, side by side. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.layers.branch import Branch
from keras_vit.layers.composite import CompositeLayer, build_each
from keras_vit.layers.shapes import Shape, Tensor, check_rank
from keras_vit.layers.templates import Template, serialize


@keras.saving.register_keras_serializable(package="keras_vit")
class TwinBlock(CompositeLayer):
    """Add two self-attentions at once, then two MLPs at once.

    z' = a_1(z) + a_2(z) + z, then m_1(z') + m_2(z') + z', each branch with its own
    normalization.

    Args:
        attention: the layer to copy for both attentions, such as `SelfAttention`.
        mlp: the layer to copy for both MLPs, such as `MLP`.
        stochastic_depth_rate: share of the images that skip a branch in training,
            [0, 1). Default 0.
        epsilon: of the normalizations. Default 1e-6.
        normalization: "layer" (default) or "rms".
        layer_scale: first value of the factors by which the channels of each branch
            are multiplied. Default None: no factors.

    Call arguments:
        tokens: the sequence.
        training: whether dropout and stochastic depth are active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Reference: arXiv:2203.09795, section 3.
    """

    def __init__(
        self,
        attention: Template,
        mlp: Template,
        stochastic_depth_rate: float = 0.0,
        epsilon: float = 1e-6,
        normalization: str = "layer",
        layer_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._attention_template = serialize(attention)
        self._mlp_template = serialize(mlp)
        self.stochastic_depth_rate = stochastic_depth_rate
        self.epsilon = epsilon
        self.normalization = normalization
        self.layer_scale = layer_scale
        with self.sublayers() as named:

            def branch(template: Template, name: str) -> Branch:
                return Branch(
                    template,
                    stochastic_depth_rate=stochastic_depth_rate,
                    epsilon=epsilon,
                    normalization=normalization,
                    layer_scale=layer_scale,
                    **named(name),
                )

            self.attention_0 = branch(self._attention_template, "attention_0")
            self.attention_1 = branch(self._attention_template, "attention_1")
            self.mlp_0 = branch(self._mlp_template, "mlp_0")
            self.mlp_1 = branch(self._mlp_template, "mlp_1")

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        build_each(input_shape, self.attention_0, self.attention_1)
        build_each(input_shape, self.mlp_0, self.mlp_1)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        first = self.attention_0(tokens, training=training)
        tokens = tokens + first + self.attention_1(tokens, training=training)
        first = self.mlp_0(tokens, training=training)
        return tokens + first + self.mlp_1(tokens, training=training)
