"""Each private name of Keras that models and training touch, in one place.

`tests/test_keras_internals.py` fails if a new version of Keras changes one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state


class OptimizerHooks:
    """Give each variable its own learning rate and weight decay.

    Keras 3.15 decays all weights by one rate, on torch updates all at once through
    `_parallel_update_step`, and on TensorFlow sums the gradients over the replicas only
    after it clipped them. A subclass stands before the Keras optimizer among the bases
    and defines `multiplier` and `decay_of`.
    """

    def multiplier(self, variable: Any) -> float:
        """Return what the learning rate of one variable is multiplied by."""
        raise NotImplementedError

    def decay_of(self, variable: Any) -> float:
        """Return the weight decay of one variable."""
        raise NotImplementedError

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        # TensorFlow, JAX, and on torch the optimizers without a fused form.
        multiplier, decay = self.multiplier(variable), self.decay_of(variable)
        rate = keras.ops.cast(learning_rate, variable.dtype)
        if multiplier != 1.0:
            rate = rate * multiplier
        if decay:
            self.assign(variable, variable - variable * decay * rate)  # pyright: ignore[reportAttributeAccessIssue]
        super().update_step(gradient, variable, rate)  # pyright: ignore[reportAttributeAccessIssue]

    def _parallel_update_step(
        self, grads: list[Any], variables: list[Any], learning_rate: Any
    ) -> None:
        # The fused optimizers of torch: one call for all variables of one rate.
        import torch

        groups: dict[float, list[tuple[Any, Any]]] = {}
        for gradient, variable in zip(grads, variables, strict=True):
            pairs = groups.setdefault(self.multiplier(variable), [])
            pairs.append((gradient, variable))
        for multiplier, pairs in groups.items():
            rate = keras.ops.convert_to_tensor(learning_rate) * multiplier
            decaying = [(v.value, self.decay_of(v)) for _, v in pairs]
            for decay in {decay for _, decay in decaying if decay}:
                values = [value for value, own in decaying if own == decay]
                torch._foreach_mul_(values, 1 - decay * rate)
            super()._parallel_update_step(  # pyright: ignore[reportAttributeAccessIssue]
                [gradient for gradient, _ in pairs],
                [variable for _, variable in pairs],
                rate,
            )

    def index_of(self, variable: Any) -> int:
        """Return the place of a variable in the list that the optimizer was built on.

        On TensorFlow `variable` may be the tf.Variable inside, or its part on a device.
        """
        return self._get_variable_index(variable)  # pyright: ignore[reportAttributeAccessIssue]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Do nothing: `before_update` decays."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[Any]:
        """Do nothing: the gradients were summed before they were clipped."""
        return list(grads_and_vars)


class LambHooks:
    """Update by LAMB as apex and timm do: by a share of each kernel's norm.

    Keras 3.15 scales biases, norms and layer scales too, and decays before it measures.
    A subclass stands before `OptimizerHooks` and `keras.optimizers.Lamb`.
    """

    # No kernel counts as smaller than DeiT III's are at first, with this deviation: the
    # lower bound of the paper's phi. A head of zeros would not begin to learn.
    lowest_deviation = 0.02

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        optimizer: Any = self
        ops, index = keras.ops, optimizer.index_of(variable)
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype) * optimizer.multiplier(variable)
        step = ops.cast(optimizer.iterations + 1, variable.dtype)
        mean, square = optimizer._momentums[index], optimizer._velocities[index]
        optimizer.assign_add(mean, (gradient - mean) * (1 - optimizer.beta_1))
        optimizer.assign_add(
            square, (ops.square(gradient) - square) * (1 - optimizer.beta_2)
        )
        deviation = ops.sqrt(square / (1 - ops.power(optimizer.beta_2, step)))
        update = mean / (1 - ops.power(optimizer.beta_1, step))
        update = update / (deviation + optimizer.epsilon)
        decay = optimizer.decay_of(variable)
        if decay:
            update = update + variable * decay
            norm = ops.sqrt(ops.sum(ops.square(variable)))
            lowest = self.lowest_deviation * math.prod(variable.shape) ** 0.5
            of_update = ops.sqrt(ops.sum(ops.square(update)))
            ratio = ops.maximum(norm, lowest) / ops.maximum(of_update, 1e-30)
            rate = rate * ratio
        optimizer.assign_sub(variable, update * rate)


def moving_averages(optimizer: Any) -> list[tuple[Any, Any]]:
    """Return (variable, its moving average) of an optimizer made with `use_ema`."""
    return [
        (variable, average)
        for variable, average in zip(
            optimizer._trainable_variables,
            optimizer._model_variables_moving_average,
            strict=True,
        )
        if average is not None
    ]


def sublayers(layer: keras.layers.Layer) -> list[Any]:
    """Return the layers directly below a layer."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def all_layers(layer: keras.layers.Layer) -> list[Any]:
    """Return a layer and all layers below it, outer ones first."""
    return [layer, *(deep for below in sublayers(layer) for deep in all_layers(below))]


def set_dropout_rate(dropout: Any, rate: float) -> None:
    """Change the rate of a Dropout layer, which has no generator if it was made with 0.

    The generator has to be one of the layer's, so that it is part of its state.
    """
    dropout.rate = rate
    if rate > 0 and getattr(dropout, "seed_generator", None) is None:
        dropout._tracker.unlock()
        dropout.seed_generator = keras.random.SeedGenerator(dropout.seed)
        dropout._tracker.lock()


def set_rematerialization_mode(layer: keras.layers.Layer, mode: str | None) -> None:
    """Set what `keras.RematScope(mode)` would have set when the layer was made."""
    if mode is None:
        layer._remat_mode = None
        return
    with keras.RematScope(mode):
        layer._remat_mode = keras.layers.Layer()._remat_mode


def remove_lora(dense: Any) -> None:
    """Add the LoRA product to the kernel of a Dense layer and remove its factors."""
    kernel = dense._kernel
    kernel.assign(keras.ops.copy(keras.ops.convert_to_tensor(dense.kernel)))
    kernel.trainable = True
    for name in ("lora_kernel_a", "lora_kernel_b"):
        dense._untrack_variable(getattr(dense, name))
        object.__setattr__(dense, name, None)
    dense.lora_enabled = False
    dense.lora_rank = None
    dense.lora_alpha = None


def forget_compiled_steps(model: Any) -> None:
    """Make the next `fit`, `evaluate` and `predict` of a model trace its layers again.

    JAX keeps what it compiled for a bound method such as `model.train_step`, also over
    a new `model.compile(...)` (Keras 3.15), and so the former rates, loss or dtype.
    """
    model.train_function = model.test_function = model.predict_function = None
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


def reduces_first(optimizer: Any) -> bool:
    """Return whether an optimizer sums over the replicas before anything else."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner, OptimizerHooks):
        return False
    # An optimizer around another sums itself, and tells the inner one not to.
    return inner.reduces_gradients == (inner is optimizer)  # pyright: ignore[reportAttributeAccessIssue]


# Keras's list of variables without a value.
_PENDING = "uninitialized_variables"


@contextmanager
def unallocated() -> Iterator[None]:
    """Build models inside without allocating or drawing their weights.

    The weights have paths, shapes and dtypes. `initialize` gives them values;
    a model that is only looked at needs none.
    """
    pending = list(global_state.get_global_attribute(_PENDING) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Otherwise the next scope of somebody else would draw their values.
        global_state.set_global_attribute(_PENDING, pending)


def initialize(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Give each weight its first value, that of its initializer where none is given.

    Args:
        model: built inside `unallocated`.
        values: from the path of a weight to its value, in the weight's shape. Emptied,
            so that each array can be let go when it has been copied.
    """
    for variable in model.variables:
        variable: Any
        if variable._value is not None:  # Seen already, under another layer.
            continue
        if variable.path in values:
            # A copy of our own, never a view of a mapped file: backends keep it.
            value = np.array(values.pop(variable.path), dtype=_plain(variable.dtype))
            variable._initialize(keras.ops.convert_to_tensor(value, variable.dtype))
            variable._initializer = None
        else:
            variable._deferred_initialize()
    for layer in model._flatten_layers():
        layer._post_build()  # torch tracks parameters here, which it put off.


def _plain(dtype: Any) -> str:
    # numpy has no bfloat16 of its own; Keras casts float32 to it.
    return "float64" if str(dtype) == "float64" else "float32"
