"""Drop a whole residual branch for some images. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_vit.layers.policies import serialize_policy, sublayer_policies
from keras_vit.layers.rematerialization import rematerialize, sublayer_scope
from keras_vit.layers.shapes import Shape, Tensor, check_rate


@keras.saving.register_keras_serializable(package="keras_vit")
class StochasticDepth(keras.layers.Layer):
    """Zero the whole input for a random share of the images while training.

    The rest is divided by 1 - rate, so that the mean stays the same. At inference, and
    with rate 0, this layer returns its input.

    Args:
        rate: share of the images, [0, 1).

    Call arguments:
        branch: output of a residual branch.
        training: whether images are dropped.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Reference: arXiv:1603.09382.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_rate("rate", rate)
        self.rate = rate
        policy = sublayer_policies(self)
        with sublayer_scope(self):
            self.dropout = keras.layers.Dropout(
                rate, noise_shape=(None, 1, 1), dtype=policy("dropout"), name="dropout"
            )

    def build(self, input_shape: Shape) -> None:
        self.dropout.build(input_shape)

    def call(self, branch: Tensor, training: bool | None = None) -> Tensor:
        return self.dropout(branch, training=training)

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
            "rate": self.rate,
        }
