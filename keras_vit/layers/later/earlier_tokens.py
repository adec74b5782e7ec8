"""Class tokens of several blocks. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import Shape, Tensor, check_rank


@keras.saving.register_keras_serializable(package="keras_vit")
class EarlierTokens(keras.layers.Layer):
    """Put the class tokens of earlier blocks before the tokens of the last one.

    Input shape: a list of n tensors (B, T, D), the outputs of n blocks in their order.
    Output shape: (B, n - 1 + T, D).

    Raises:
        ValueError: if there is only one tensor.

    Example:
        ```python
        blocks = [keras.ops.ones((2, 197, 64)) for _ in range(4)]
        tokens = keras_vit.layers.EarlierTokens()(blocks)
        tuple(tokens.shape)  # (2, 200, 64)
        ```

    Reference: arXiv:2304.07193, DINOv2's linear classifiers of four layers.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: Sequence[Shape]) -> None:
        if len(input_shape) < 2 or not isinstance(input_shape[0], (tuple, list)):
            raise ValueError(
                f"{self.name!r} takes the outputs of at least two blocks as a list, "
                f"received the shape {input_shape}. Leave it out for one block."
            )
        for shape in input_shape:
            check_rank(self, shape, "(B, T, D)")

    def call(self, blocks: Sequence[Tensor]) -> Tensor:
        *earlier, last = blocks
        return ops.concatenate([*(x[:, :1] for x in earlier), last], axis=1)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        batch, tokens, width = input_shape[-1]
        more = len(input_shape) - 1
        return (batch, None if tokens is None else tokens + more, width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()
