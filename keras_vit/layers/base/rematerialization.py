"""Make `keras.RematScope` work for layers with sub-layers, dropout and mixed precision.

Keras 3.15 wraps `call` with its arguments as they come, which fails for ours: JAX
traces `training` and leaks the state of the seed generators, TensorFlow takes no
keyword arguments in a graph, and on TensorFlow and torch the second forward pass draws
new dropout masks, so that the gradient is silently wrong. Here the outermost layer is
wrapped once, over tensors only: inputs and variables go in, output and new seeds come
out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops


def rematerialize(
    layer: keras.layers.Layer, mode: Any, layer_call: Callable[..., Any], inputs: Any
) -> Callable[..., Any]:
    """Return `layer_call` with its activations computed again in the backward pass.

    For a layer whose `call(inputs, training=...)` uses sub-layers and may take more
    tensors by name, such as `rotation`. Meant to be what the layer's
    `rematerialized_call` returns.

    Args:
        layer: the outermost layer that is rematerialized.
        mode: of `keras.RematScope`, as Keras keeps it in the layer.
        layer_call: what the layer computes.
        inputs: its first argument.
    """
    if not _is_selected(layer, mode, inputs):
        return layer_call

    def call(inputs: Any, *positional: Any, **options: Any) -> Any:
        _, *names = inspect.signature(layer.call).parameters
        options.update(zip(names, positional, strict=False))
        variables = layer.variables
        # What is a variable but not a weight is the state of a seed generator.
        weights = {id(weight) for weight in layer.weights}
        seeds = [v for v in variables if id(v) not in weights]

        # Tensors among the options are inputs, so that they get their gradients.
        names = [name for name, value in options.items() if ops.is_tensor(value)]
        tensors = [options.pop(name) for name in names]

        def forward(inputs: Any, *others: Any) -> tuple[Any, ...]:
            extra = dict(zip(names, others[: len(names)], strict=True))
            mapping = list(zip(variables, others[len(names) :], strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope:
                outputs = layer_call(inputs, **options, **extra)
                return outputs, *(scope.get_current_value(seed) for seed in seeds)

        # Copies, because torch writes the new seed state into the old tensor.
        values = [
            ops.copy(v.value) if id(v) not in weights else v.value for v in variables
        ]
        outputs, *states = keras.remat(forward)(inputs, *tensors, *values)
        for seed, state in zip(seeds, states, strict=True):
            seed.assign(state)
        return outputs

    return call


def _is_selected(layer: keras.layers.Layer, mode: Any, inputs: Any) -> bool:
    if mode is None or mode.mode in (None, "activations"):
        return False
    if mode.mode == "list_of_layers":
        return layer.name in mode.layer_names
    if mode.mode == "larger_than":
        size = 1
        for axis in layer.compute_output_shape(tuple(inputs.shape)):
            size *= axis or 1
        return size > mode.output_size_threshold
    return True
