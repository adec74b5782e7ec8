"""Each private name of Keras that models and training touch, in one place.

`tests/test_keras_internals.py` fails if a new version of Keras changes one of them.
"""

from __future__ import annotations

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


def layer_paths(model: keras.Model) -> dict[str, Any]:
    """Return all layers below a model by path, such as "block_0/attention/qkv".

    Outer ones come first. Where two have one path, the second one ends with "#2".
    """
    found: dict[str, Any] = {}

    def walk(layer: Any, path: str) -> None:
        number, name = 1, path
        while name in found:
            number += 1
            name = f"{path}#{number}"
        found[name] = layer
        for below in sublayers(layer):
            walk(below, f"{name}/{below.name}")

    for layer in sublayers(model):
        walk(layer, layer.name)
    return found


def rematerialization_of(model: keras.Model) -> keras.RematScope:
    """Return the scope of `keras.RematScope` in which the layers of a model were made.

    Keras 3.15 keeps it in each layer, and writes it into no config.
    """
    modes = [(layer, layer._remat_mode) for layer in all_layers(model)]
    made = [(layer, mode) for layer, mode in modes if mode is not None and mode.mode]
    if not made:
        return keras.RematScope(mode=None)  # pyright: ignore[reportArgumentType]
    full = [layer.name for layer, mode in made if mode.mode == "full"]
    if full:  # Perhaps not all layers.
        return keras.RematScope("list_of_layers", layer_names=full)
    _, mode = made[0]
    return keras.RematScope(mode.mode, mode.output_size_threshold, mode.layer_names)


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


def current_training() -> Any:
    """Return `training` of the layer around the one that is called, None if unknown."""
    context = global_state.get_global_attribute("current_call_ctx")
    return None if context is None else context.get_value("training")


def current_autocast_dtype() -> str | None:
    """Return the dtype that Keras casts variables to where they are read here."""
    scope = global_state.get_global_attribute("autocast_scope")
    return None if scope is None else scope.dtype


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


def initialize(model: keras.Model, values: dict[str, Any]) -> None:
    """Give each weight its first value, that of its initializer where none is given.

    Args:
        model: built inside `unallocated`.
        values: from the path of a weight to its value, a NumPy array or tensor in the
            weight's shape. Emptied, so that each can be let go when it has been copied.
    """
    variables: Any = {id(variable): variable for variable in model.variables}
    for variable in variables.values():
        if variable.path in values:
            variable._initialize(_copied(values.pop(variable.path), variable.dtype))
        else:
            variable._deferred_initialize()
    for layer in all_layers(model):
        layer._post_build()  # torch tracks parameters here, which it put off.


def _copied(value: Any, dtype: Any) -> Any:
    """Return a tensor of our own: backends keep it, and JAX gives it away later."""
    if not isinstance(value, np.ndarray):
        return keras.ops.copy(keras.ops.cast(value, dtype))
    # numpy has no bfloat16 of its own; Keras casts float32 to it.
    plain = "float64" if str(dtype) == "float64" else "float32"
    return keras.ops.convert_to_tensor(np.array(value, dtype=plain), dtype)


class TrainerHooks(keras.Model):
    """Change two things that Keras 3.15 does before a loop, and during it."""

    def _maybe_symbolic_build(
        self, iterator: Any = None, data_batch: Any = None
    ) -> None:
        """Build loss, metrics and optimizer for a strategy of TensorFlow.

        Keras takes a batch from the threads of a PyDataset, and those prepared behind
        it, and begins anew: each epoch would begin with the end of the one before. In
        several processes it takes the mean of the batches of all, which fails. Here
        their shapes are enough.
        """
        if iterator is not None:
            import tensorflow as tf

            data_batch = keras.tree.map_structure(
                lambda spec: tf.nest.flatten(spec, expand_composites=True)[0],
                iterator._distributed_dataset.element_spec,
            )
        super()._maybe_symbolic_build(data_batch=data_batch)  # pyright: ignore[reportAttributeAccessIssue]

    def _purge_model_variables(self, **groups: bool) -> None:
        """Do nothing: on JAX a batch that fails would leave variables without values.

        A compiled step frees their memory anyway, because it is given it.
        """


def layout_map_of(engine: Any) -> Any:
    """Return the rules of a `keras.distribution.ModelParallel`."""
    return engine._layout_map
