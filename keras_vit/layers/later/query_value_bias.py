"""A bias for queries and values, none for keys. Shapes: D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import PlainLayer, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_vit")
class QueryValueBias(PlainLayer):
    """Add a learned bias to the first and the last third of the channels.

    A bias of the keys adds the same number to all scores of a query, which softmax
    ignores, unless the keys are rotated or normalized.

    Input shape: (..., 3 D), queries, keys and values in a row.
    Output shape: (..., 3 D).

    Raises:
        ValueError: if the last axis is no multiple of 3.

    Example:
        ```python
        bias = keras_vit.layers.QueryValueBias()
        tuple(bias(keras.ops.ones((2, 5, 3 * 64))).shape)  # (2, 5, 192)
        [tuple(weight.shape) for weight in bias.weights]  # [(64,), (64,)]
        ```

    Reference: arXiv:2106.08254 (BEiT), arXiv:2303.11331 (EVA-02).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def build(self, input_shape: Shape) -> None:
        width, rest = divmod(input_shape[-1] or 0, 3)
        if rest or not width:
            raise ValueError(
                "QueryValueBias takes queries, keys and values of one width in a row, "
                f"received shape {tuple(input_shape)}. Make its last axis a multiple "
                "of 3."
            )
        self.query_bias = self.add_weight((width,), "zeros", name="query_bias")
        self.value_bias = self.add_weight((width,), "zeros", name="value_bias")

    def call(self, x: Tensor) -> Tensor:
        # The cast is for rematerialization, which runs outside Keras's autocast.
        query = ops.cast(self.query_bias, self.compute_dtype)
        value = ops.cast(self.value_bias, self.compute_dtype)
        return x + ops.concatenate([query, ops.zeros_like(query), value])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()


def check_bias(qkv_bias: str, num_kv_heads: int | None) -> None:
    """Raise a ValueError unless an attention can have the bias of this layer."""
    if qkv_bias != "qv" or num_kv_heads is not None:
        raise ValueError(
            "qkv_bias must be True, False or 'qv', the last without num_kv_heads, "
            f"received qkv_bias={qkv_bias!r}, num_kv_heads={num_kv_heads}. Use "
            "True, and a key bias of 0."
        )
