"""The two-layer perceptron of a block. Shapes: B batch, T tokens, D hidden."""

from __future__ import annotations

from collections.abc import Callable
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

Activation = Callable[[Tensor], Tensor]


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
        norm: normalization of the widened tokens after the activation, which is
            copied. Default None: they are not normalized.

    Call arguments:
        tokens: the sequence.
        training: whether dropout is active.

    Input shape: (B, T, D).
    Output shape: (B, T, D).

    Raises:
        ValueError: if there is no such activation, or the input has another width than
            `hidden_dim`.

    Example:
        ```python
        mlp = keras_vit.layers.MLP(hidden_dim=64, mlp_dim=256)
        tuple(mlp(keras.ops.ones((2, 5, 64))).shape)  # (2, 5, 64)
        ```

    Reference: arXiv:2010.11929, section 3.1 (MLP). Initialization as in
    google-research/vision_transformer, vit_jax/models_vit.py, MlpBlock: Xavier uniform
    kernels, biases from a normal distribution of standard deviation 1e-6.
    """

    is_part = True

    def __init__(
        self,
        hidden_dim: int,
        mlp_dim: int,
        activation: str = "gelu",
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
        with self.sublayers() as named:

            def dense(name: str, width: int, activation: Any = None) -> Any:
                bias: Any = keras.initializers.RandomNormal(stddev=1e-6)
                options = {"use_bias": use_bias, "bias_initializer": bias}
                return Dense(width, activation, **options, **named(name))

            self.expand = dense("expand", mlp_dim, get_activation(activation))
            self.expand_dropout = keras.layers.Dropout(
                dropout_rate, **named("expand_dropout")
            )
            self.norm = copy_norm(norm, **named("norm"))
            self.contract = dense("contract", hidden_dim)
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
        length = ops.shape(tokens)[1]
        x = ops.reshape(tokens, (-1, self.hidden_dim))  # (B * T, D)
        x = drop(self.expand_dropout, self.expand(x), training)  # (B * T, mlp_dim)
        if self.norm is not None:
            x = self.norm(x)
        x = drop(self.contract_dropout, self.contract(x), training)  # (B * T, D)
        return ops.reshape(x, (-1, length, self.hidden_dim))  # (B, T, D)


def get_activation(name: str) -> Activation:
    """Return the activation called `name`, one of those below or else Keras's.

    Raises:
        ValueError: if there is none of that name.
    """
    return ACTIVATIONS[name] if name in ACTIVATIONS else _activation_of_keras(name)


def _activation_of_keras(name: str) -> Activation:
    try:
        found = keras.activations.get(name)
    except ValueError:
        found = None
    if not isinstance(name, str) or found is None:
        raise ValueError(
            f"activation must be one of {list(ACTIVATIONS)} or the name of a Keras "
            f"activation such as 'relu' or 'silu', received activation={name!r}."
        )
    return found


@keras.saving.register_keras_serializable(package="keras_vit")
def gelu(x: Tensor) -> Tensor:
    """Exact GELU, x * Phi(x). Reference: arXiv:1606.08415."""
    if keras.backend.backend() == "tensorflow":
        # In this order of factors the LiteRT converter sees its GELU op and ONNX stays
        # valid; x * (0.5 * (1 + erf(...))) and ops.gelu become FlexErf and Erf.
        return 0.5 * x * (1.0 + ops.erf(x * 0.7071067811865476))
    return ops.gelu(x, approximate=False)


@keras.saving.register_keras_serializable(package="keras_vit")
def gelu_tanh(x: Tensor) -> Tensor:
    """Tanh approximation of GELU, which the paper's JAX code uses."""
    return ops.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="keras_vit")
def quick_gelu(x: Tensor) -> Tensor:
    """Sigmoid approximation of GELU, x * sigmoid(1.702 * x), which CLIP uses."""
    return x * ops.sigmoid(1.702 * x)


# Names that mean the same in every Vision Transformer; the rest is Keras's.
ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
}
