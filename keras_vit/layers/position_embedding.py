"""Learned positions. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned table to a sequence, one row for each token.

    Drawn from a normal distribution of standard deviation 0.02, as in the paper's code.

    Input shape: (B, T, D); T and D fixed when the layer is built.
    Output shape: (B, T, D).

    Raises:
        ValueError: if the input is not of rank 3 or the length is unknown.

    Example:
        ```python
        positions = keras_vit.layers.PositionEmbedding()
        tuple(positions(keras.ops.ones((2, 197, 64))).shape)  # (2, 197, 64)
        [tuple(weight.shape) for weight in positions.weights]  # [(1, 197, 64)]
        ```

    Reference: arXiv:2010.11929, equation 1 (E_pos); google-research/vision_transformer,
    vit_jax/models_vit.py, AddPositionEmbs.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        check_rank(self, input_shape, "(B, T, D)")
        if input_shape[1] is None:
            raise ValueError(
                "PositionEmbedding learns one row per token and needs a fixed number "
                f"of tokens, received shape {tuple(input_shape)}. Fix the image size."
            )
        self.table = self.add_weight(
            shape=(1, *input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="table",
        )

    def call(self, tokens: Tensor) -> Tensor:
        # The cast is for rematerialization, which runs outside Keras's autocast.
        return tokens + ops.cast(self.table, self.compute_dtype)

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return layer_call  # A part of PatchEncoder, which does it as a whole.

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()
