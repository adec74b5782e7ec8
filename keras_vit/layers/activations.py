"""The activations of Vision Transformers, by name."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from keras_vit.layers.shapes import Tensor

Activation = Callable[[Tensor], Tensor]


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


def get_activation(name: str) -> Activation:
    """Return the activation called `name`, ours first, then Keras's.

    Raises:
        ValueError: if there is none of that name.
    """
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
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
