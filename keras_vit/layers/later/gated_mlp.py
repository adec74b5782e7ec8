"""The gated perceptron of a block. Shapes: B batch, T tokens, D hidden, M mlp."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.base.layer import (
    CompositeLayer,
    Dense,
    Shape,
    Tensor,
    build_each,
    check_rate,
    check_width,
    copy_norm,
    drop,
)
from keras_vit.layers.mlp import get_activation


@keras.saving.register_keras_serializable(package="keras_vit")
class GatedMLP(CompositeLayer):
    """Widen each token twice, let one half gate the other, and project it back.

    contract(norm(activation(g) * u)), [g, u] = expand(x); with "silu" this is SwiGLU.

    Args:
        hidden_dim: D, width of a token, at least 1.
        mlp_dim: M, width of gate and values each, at least 1.
        activation: of the gate. Default "silu".
        dropout_rate: share that is dropped in training after each of the two layers,
            [0, 1). Default 0.
        use_bias: whether the two layers have a bias. Default True.
        norm: normalization of the gated values, which is copied. Default None: they are
            not normalized.

    Call arguments:
        tokens: the sequence.
        training: whether dropout is active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if there is no such activation, or the input has
            another width than `hidden_dim`.

    Example:
        ```python
        mlp = keras_vit.layers.GatedMLP(hidden_dim=64, mlp_dim=128)
        tuple(mlp(keras.ops.ones((2, 5, 64))).shape)  # (2, 5, 64)
        ```

    Reference: arXiv:2002.05202, equation 6 (SwiGLU).
    """

    is_part = True

    def __init__(
        self,
        hidden_dim: int,
        mlp_dim: int,
        activation: str = "silu",
        dropout_rate: float = 0.0,
        use_bias: bool = True,
        norm: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rate("dropout_rate", dropout_rate)
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.dropout_rate = dropout_rate
        self.use_bias = use_bias
        self._activate = get_activation(activation)
        with self.sublayers() as named:
            self.expand = Dense(2 * mlp_dim, use_bias=use_bias, **named("expand"))
            self.expand_dropout = keras.layers.Dropout(
                dropout_rate, **named("expand_dropout")
            )
            self.norm = copy_norm(norm, **named("norm"))
            self.contract = Dense(hidden_dim, use_bias=use_bias, **named("contract"))
            self.contract_dropout = keras.layers.Dropout(
                dropout_rate, **named("contract_dropout")
            )

    def build(self, input_shape: Shape) -> None:
        check_width(self, input_shape, self.hidden_dim)
        flat, wide = (None, self.hidden_dim), (None, self.mlp_dim)
        build_each(flat, self.expand)
        build_each(wide, self.expand_dropout, self.norm, self.contract)
        build_each(flat, self.contract_dropout)

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        shape: Any = ops.shape(tokens)
        length = shape[1]
        x = ops.reshape(tokens, (-1, self.hidden_dim))  # (B * T, D)
        x = self.expand(x)
        # Slices of rank 3, because WebGPU in LiteRT.js 2.5 cannot run the parts of a
        # split here, and phones' GPUs slice no rank 2.
        x = ops.reshape(x, (-1, length, 2 * self.mlp_dim))
        gate, x = x[:, :, : self.mlp_dim], x[:, :, self.mlp_dim :]  # (B, T, M) each
        x = ops.reshape(self._activate(gate) * x, (-1, self.mlp_dim))  # (B * T, M)
        x = drop(self.expand_dropout, x, training)
        if self.norm is not None:
            x = self.norm(x)
        x = self.contract(x)  # (B * T, D)
        x = drop(self.contract_dropout, x, training)
        return ops.reshape(x, (-1, length, self.hidden_dim))  # (B, T, D)
