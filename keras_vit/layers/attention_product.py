"""Softmax attention between queries, keys and values.

Shapes: B batch, T tokens, h heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_vit.layers.policies import (
    serialize_policy,
    sublayer_policies,
    wide_dtype,
)
from keras_vit.layers.shapes import Shape, Tensor, check_rate

# Who wants the weights of each product; usually no one.
_RECORDS: list[list[Tensor]] = []


@contextmanager
def recorded_weights() -> Iterator[list[Tensor]]:
    """Collect the softmax weights of each product that is computed in the block.

    Returns a list that grows while layers are called: (B, h, T, T) each, in the order
    of the calls. Functions that were compiled before know nothing of it.
    """
    record: list[Tensor] = []
    _RECORDS.append(record)
    try:
        yield record
    finally:
        _RECORDS.pop()


@keras.saving.register_keras_serializable(package="keras_vit")
class AttentionProduct(keras.layers.Layer):
    """softmax(q k^T / sqrt(d)) v for each head.

    Args:
        dropout_rate: share of the attention weights that is dropped in training,
            [0, 1). Default 0.

    Call arguments:
        query: (B, T, h, d).
        key: (B, T, h, d).
        value: (B, T, h, any).
        training: whether dropout is active.

    Output shape: that of `value`.

    Reference: arXiv:1706.03762, equation 1.
    """

    def __init__(self, dropout_rate: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_rate("dropout_rate", dropout_rate)
        self.dropout_rate = dropout_rate
        policy = sublayer_policies(self)
        self.dropout = keras.layers.Dropout(
            dropout_rate, dtype=policy("dropout"), name="dropout"
        )

    def build(self, query_shape: Shape) -> None:
        batch, length, num_heads, _ = query_shape
        self._fused = _has_fused_attention()
        self.dropout.build((batch, num_heads, length, length))

    def call(
        self, query: Tensor, key: Tensor, value: Tensor, training: bool | None = None
    ) -> Tensor:
        # JAX's fused form takes no values of another width, as differential attention
        # has them.
        is_fused = self._fused and query.shape[-1] == value.shape[-1]
        if _RECORDS or (training and self.dropout_rate) or not is_fused:
            return self._attend(query, key, value, training)
        return ops.dot_product_attention(query, key, value)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, training: bool | None
    ) -> Tensor:
        # Each product in the open, so that dropout can reach the weights between them.
        scale = query.shape[-1] ** -0.5
        query, key, value = (
            ops.transpose(x, (0, 2, 1, 3)) for x in (query * scale, key, value)
        )  # (B, h, T, d)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))  # (B, h, T, T)
        weights = ops.softmax(ops.cast(scores, wide_dtype(self)), axis=-1)
        weights = ops.cast(weights, self.compute_dtype)
        for record in _RECORDS:
            record.append(weights)
        weights = self.dropout(weights, training=training)
        return ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))  # (B, T, h, d)

    def compute_output_shape(
        self, query_shape: Shape, key_shape: Shape, value_shape: Shape
    ) -> Shape:
        return tuple(value_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dtype": serialize_policy(self),
            "dropout_rate": self.dropout_rate,
        }


def _has_fused_attention() -> bool:
    """Return whether `ops.dot_product_attention` is the faster form here.

    On torch and on JAX's accelerators it is a kernel of its own. TensorFlow and JAX's
    CPU decompose it and were slower than the products here; on the CPU JAX's does not
    run in float16 either (JAX 0.10).
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return backend == "torch"
