"""The types of shapes and tensors, and the checks that layers share."""

from __future__ import annotations

from typing import Any

import keras

Shape = tuple[int | None, ...]
# A KerasTensor or a tensor of the backend. Keras has no name for both, and type
# checkers take what its ops return for a tensor of one of its backends.
Tensor = Any


def check_rank(layer: keras.layers.Layer, input_shape: Shape, legend: str) -> None:
    """Raise a ValueError unless the input has as many axes as `legend` names."""
    rank = legend.count(",") + 1
    if len(input_shape) != rank:
        raise ValueError(
            f"{type(layer).__name__} takes inputs of shape {legend}, received shape "
            f"{tuple(input_shape)} of rank {len(input_shape)}. Reshape the inputs to "
            f"rank {rank}."
        )


def check_width(layer: keras.layers.Layer, input_shape: Shape, hidden_dim: int) -> None:
    """Raise a ValueError unless the input is a sequence (B, T, D), D = hidden_dim."""
    check_rank(layer, input_shape, "(B, T, D)")
    if input_shape[-1] != hidden_dim:
        raise ValueError(
            f"{type(layer).__name__} was made for tokens of width hidden_dim="
            f"{hidden_dim}, received shape {tuple(input_shape)}. Make the layer with "
            f"hidden_dim={input_shape[-1]}."
        )


def check_heads(hidden_dim: int, num_heads: int) -> None:
    """Raise a ValueError unless tokens can be split into heads of equal width."""
    if num_heads < 1 or hidden_dim % num_heads:
        raise ValueError(
            "hidden_dim must be a multiple of num_heads, received "
            f"hidden_dim={hidden_dim}, num_heads={num_heads}. "
            "Choose a num_heads that divides hidden_dim."
        )


def check_rate(name: str, rate: float) -> None:
    """Raise a ValueError unless `rate` is a share that can be dropped, [0, 1)."""
    if not 0 <= rate < 1:
        raise ValueError(
            f"{name} must be at least 0 and below 1, received {name}={rate}. It is the "
            "share that is dropped in training."
        )
