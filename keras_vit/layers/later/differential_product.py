"""The difference of two softmax attentions.

Shapes: B batch, T tokens, h heads, d width of a head.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Shape,
    Tensor,
    scores_options,
)
from keras_vit.layers.later.rms_normalization import RMSNormalization
from keras_vit.layers.self_attention import AttentionProduct


@keras.saving.register_keras_serializable(package="keras_vit")
class DifferentialProduct(CompositeLayer):
    """Subtract a second attention from the first, to cancel what both attend to.

    norm(A_1 v - lambda A_2 v) (1 - lambda_start), where lambda = exp(q1 . k1) -
    exp(q2 . k2) + lambda_start is learned and lambda_start = 0.8 - 0.6
    exp(-0.3 depth). A_1 is made of the first half of each head's queries and keys, A_2
    of the second half.

    Args:
        depth: number of the block, from 0; it sets where lambda starts.
        dropout_rate: share of the attention weights that is dropped in training,
            [0, 1). Default 0.
        use_float16_squares: as for `LayerNormalization`. Default False.

    Call arguments:
        query: (B, T, h, d), d even.
        key: (B, T, h, d).
        value: (B, T, h, d).
        training: whether dropout is active.
        return_attention_scores: whether A_1 - lambda A_2 is returned, too.
            Default False.
        attention_offset: added to A_1 - lambda A_2, (B, h, T, T). Default None.

    Output shape: that of `value`, and with `return_attention_scores` (B, h, T, T).

    Raises:
        ValueError: if a head is of an odd width, or `dropout_rate` is out of range.

    Example:
        ```python
        product = keras_vit.layers.DifferentialProduct(depth=0)
        attention = keras_vit.layers.SelfAttention(64, num_heads=4, product=product)
        tuple(attention(keras.ops.ones((2, 5, 64))).shape)  # (2, 5, 64)
        ```

    Reference: arXiv:2410.05258, equations 1 to 3.
    """

    is_part = True

    def __init__(
        self,
        depth: int = 0,
        dropout_rate: float = 0.0,
        use_float16_squares: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depth = depth
        self.dropout_rate = dropout_rate
        self.use_float16_squares = use_float16_squares
        self._lambda_start = 0.8 - 0.6 * math.exp(-0.3 * depth)
        with self.sublayers() as named:
            self.product = AttentionProduct(dropout_rate, **named("product"))
            self.norm = RMSNormalization(1e-5, use_float16_squares, **named("norm"))

    def build(self, query_shape: Shape) -> None:
        batch, length, num_heads, width = query_shape
        if not width or width % 2:
            raise ValueError(
                "Differential attention takes heads of an even width, received shape "
                f"{tuple(query_shape)}. Choose a num_heads that divides "
                "hidden_dim / 2."
            )
        for name in ("query_1", "key_1", "query_2", "key_2"):
            normal = keras.initializers.RandomNormal(stddev=0.1)
            weight = self.add_weight(
                (width // 2,), normal, autocast=False, name=f"lambda_{name}"
            )
            setattr(self, f"lambda_{name}", weight)
        self.product.build((batch, length, num_heads, width // 2))
        self.norm.build((None, width))

    def call(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        training: bool | None = None,
        return_attention_scores: bool = False,
        attention_offset: Tensor | None = None,
    ) -> Any:
        queries, keys = (ops.split(x, 2, axis=-1) for x in (query, key))
        first, second = (
            self.product(
                queries[i],
                keys[i],
                value,
                training=training,
                **scores_options(return_attention_scores, offset),
            )
            for i, offset in enumerate((attention_offset, None))
        )  # (B, T, h, d) each
        weights = others = None
        if return_attention_scores:
            (first, weights), (second, others) = first, second
        factor = ops.exp(ops.sum(self.lambda_query_1 * self.lambda_key_1))
        factor = factor - ops.exp(ops.sum(self.lambda_query_2 * self.lambda_key_2))
        factor = ops.cast(factor + self._lambda_start, self.compute_dtype)
        x = self.norm(first - factor * second) * (1 - self._lambda_start)
        if return_attention_scores:
            return x, weights - factor * others
        return x

    def compute_output_shape(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, query_shape: Shape, key_shape: Shape, value_shape: Shape
    ) -> Shape:
        return tuple(value_shape)
