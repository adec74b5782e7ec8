"""Read out the class token. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.shapes import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class ClassTokenPooling(keras.layers.Layer):
    """Return the first token of a sequence.

    Input shape: (B, T, D).
    Output shape: (B, D).

    Reference: arXiv:2010.11929, equation 4.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")

    def call(self, tokens: Tensor) -> Tensor:
        # Not tokens[:, 0]: that op splits the graph of mobile runtimes in two.
        return ops.reshape(tokens[:, :1], (-1, tokens.shape[-1]))  # (B, D)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return super().get_config()
