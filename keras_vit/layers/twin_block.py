"""Two attentions, then two MLPs, side by side. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_vit.layers.branch import Branch
from keras_vit.layers.policies import serialize_policy, sublayer_policies
from keras_vit.layers.rematerialization import rematerialize, sublayer_scope
from keras_vit.layers.shapes import Shape, Tensor, check_rank
from keras_vit.layers.templates import Template, serialize


@keras.saving.register_keras_serializable(package="keras_vit")
class TwinBlock(keras.layers.Layer):
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
        policy = sublayer_policies(self)

        def branch(template: Template, name: str) -> Branch:
            return Branch(
                template,
                stochastic_depth_rate=stochastic_depth_rate,
                epsilon=epsilon,
                normalization=normalization,
                layer_scale=layer_scale,
                dtype=policy(name),
                name=name,
            )

        with sublayer_scope(self):
            self.attention_0 = branch(self._attention_template, "attention_0")
            self.attention_1 = branch(self._attention_template, "attention_1")
            self.mlp_0 = branch(self._mlp_template, "mlp_0")
            self.mlp_1 = branch(self._mlp_template, "mlp_1")

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        self.attention_0.build(input_shape)
        self.attention_1.build(input_shape)
        self.mlp_0.build(input_shape)
        self.mlp_1.build(input_shape)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        first = self.attention_0(tokens, training=training)
        tokens = tokens + first + self.attention_1(tokens, training=training)
        first = self.mlp_0(tokens, training=training)
        return tokens + first + self.mlp_1(tokens, training=training)

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return rematerialize(self, layer_call, args[0])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dtype": serialize_policy(self),
            "attention": self._attention_template,
            "mlp": self._mlp_template,
            "stochastic_depth_rate": self.stochastic_depth_rate,
            "epsilon": self.epsilon,
            "normalization": self.normalization,
            "layer_scale": self.layer_scale,
        }
