"""The difference of two softmax attentions.

Shapes: B batch, T tokens, h heads, d width of a head.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.attention_product import AttentionProduct
from keras_vit.layers.policies import serialize_policy, sublayer_policies
from keras_vit.layers.rms_normalization import RMSNormalization
from keras_vit.layers.shapes import Shape, Tensor, check_rate


@keras.saving.register_keras_serializable(package="keras_vit")
class DifferentialProduct(keras.layers.Layer):
    """Subtract a second attention from the first, to cancel what both attend to.

    norm(A_1 v - lambda A_2 v) (1 - lambda_start), where lambda = exp(q1 . k1) -
    exp(q2 . k2) + lambda_start is learned and lambda_start = 0.8 - 0.6
    exp(-0.3 depth). Head i has the half-width heads 2 i and 2 i + 1 of queries and
    keys.

    Args:
        depth: number of the block, from 0.
        dropout_rate: share of the attention weights that is dropped in training,
            [0, 1). Default 0.

    Call arguments:
        query: (B, T, 2 h, d / 2).
        key: (B, T, 2 h, d / 2).
        value: (B, T, h, d).
        training: whether dropout is active.

    Output shape: that of `value`.

    Reference: arXiv:2410.05258, equations 1 to 3.
    """

    def __init__(
        self, depth: int = 0, dropout_rate: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_rate("dropout_rate", dropout_rate)
        self.depth = depth
        self.dropout_rate = dropout_rate
        self._lambda_start = 0.8 - 0.6 * math.exp(-0.3 * depth)
        policy = sublayer_policies(self)
        self.product = AttentionProduct(
            dropout_rate, dtype=policy("product"), name="product"
        )
        self.norm = RMSNormalization(1e-5, dtype=policy("norm"), name="norm")

    def build(self, query_shape: Shape) -> None:
        batch, length, num_heads, half = query_shape
        for name in ("query_1", "key_1", "query_2", "key_2"):
            weight = self.add_weight(
                shape=(half,),
                initializer=keras.initializers.RandomNormal(stddev=0.1),
                autocast=False,
                name=f"lambda_{name}",
            )
            setattr(self, f"lambda_{name}", weight)
        self.product.build((batch, length, (num_heads or 0) // 2, half))
        self.norm.build((None, 2 * (half or 0)))

    def call(
        self, query: Tensor, key: Tensor, value: Tensor, training: bool | None = None
    ) -> Tensor:
        # Heads 2 i and 2 i + 1 are the halves of head i; a slice with a step of 2 would
        # take a LiteRT file apart.
        shape: Any = ops.shape(value)
        heads = (-1, *shape[1:3], 2 * query.shape[-1])
        queries, keys = (
            ops.split(ops.reshape(x, heads), 2, axis=-1) for x in (query, key)
        )
        first, second = (
            self.product(queries[i], keys[i], value, training=training) for i in (0, 1)
        )  # (B, T, h, d) each
        factor = ops.exp(ops.sum(self.lambda_query_1 * self.lambda_key_1))
        factor = factor - ops.exp(ops.sum(self.lambda_query_2 * self.lambda_key_2))
        factor = ops.cast(factor + self._lambda_start, self.compute_dtype)
        return self.norm(first - factor * second) * (1 - self._lambda_start)

    def compute_output_shape(
        self, query_shape: Shape, key_shape: Shape, value_shape: Shape
    ) -> Shape:
        return tuple(value_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dtype": serialize_policy(self),
            "depth": self.depth,
            "dropout_rate": self.dropout_rate,
        }
