"""The two-layer perceptron of a block. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.layers.activations import get_activation
from keras_vit.layers.composite import CompositeLayer, build_each
from keras_vit.layers.initializers import nearly_zero
from keras_vit.layers.normalization import make_normalization
from keras_vit.layers.shapes import Shape, Tensor, check_rate, check_width


@keras.saving.register_keras_serializable(package="keras_vit")
class MLP(CompositeLayer):
    """Widen each token, apply the activation and project it back.

    Args:
        hidden_dim: D, width of a token, at least 1.
        mlp_dim: width in between, at least 1.
        activation: "gelu" (exact), "gelu_tanh", "quick_gelu" or the name of a Keras
            activation. Default "gelu".
        dropout_rate: share that is dropped in training after each of the two layers,
            [0, 1). Default 0.
        use_bias: whether the two layers have a bias. Default True.
        normalization: "layer" or "rms" to normalize the widened tokens after the
            activation. Default None.
        epsilon: of the normalization. Default 1e-6.

    Call arguments:
        tokens: the sequence.
        training: whether dropout is active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if there is no such activation, or the input has another width than
            `hidden_dim`.

    Reference: arXiv:2010.11929, section 3.1 (MLP). Initialization as in
    google-research/vision_transformer, vit_jax/models_vit.py, MlpBlock: Xavier uniform
    kernels, biases from a normal distribution of standard deviation 1e-6.
    """

    def __init__(
        self,
        hidden_dim: int,
        mlp_dim: int,
        activation: str = "gelu",
        dropout_rate: float = 0.0,
        use_bias: bool = True,
        normalization: str | None = None,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.mlp_dim = mlp_dim
        self.activation = activation
        check_rate("dropout_rate", dropout_rate)
        self.dropout_rate = dropout_rate
        self.use_bias = use_bias
        self.normalization = normalization
        self.epsilon = epsilon
        with self.sublayers() as named:
            self.expand = keras.layers.Dense(
                mlp_dim,
                activation=get_activation(activation),
                use_bias=use_bias,
                kernel_initializer="glorot_uniform",
                bias_initializer=nearly_zero(),
                **named("expand"),
            )
            self.expand_dropout = keras.layers.Dropout(
                dropout_rate, **named("expand_dropout")
            )
            self.norm = None
            if normalization is not None:
                self.norm = make_normalization(normalization, epsilon, **named("norm"))
            self.contract = keras.layers.Dense(
                hidden_dim,
                use_bias=use_bias,
                kernel_initializer="glorot_uniform",
                bias_initializer=nearly_zero(),
                **named("contract"),
            )
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
        # One matrix product over all tokens: on rank 2 each backend has its fastest
        # form, and a LiteRT file with a dynamic batch stays in one piece.
        shape: Any = ops.shape(tokens)
        length = shape[1]
        x = ops.reshape(tokens, (-1, self.hidden_dim))  # (B * T, D)
        x = self.expand(x)  # (B * T, mlp_dim)
        x = self.expand_dropout(x, training=training)
        if self.norm is not None:
            x = self.norm(x)
        x = self.contract(x)  # (B * T, D)
        x = self.contract_dropout(x, training=training)
        return ops.reshape(x, (-1, length, self.hidden_dim))  # (B, T, D)
