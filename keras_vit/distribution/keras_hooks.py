"""What several devices change in models of Keras, in place, by its private names.

`tests/distribution/test_keras_hooks.py` fails if a new version of Keras changes one of
them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_vit.keras_internals import all_layers


def seed_offset(replica: int) -> int:
    """Return what is added to the seeds of a replica, 0 for the first one."""
    # The golden ratio times 2**32: seeds next to each other stay apart.
    return replica * 0x9E3779B1 % 2**31


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """Draw other numbers on each replica from the same state.

    `use_replica_seeds` makes those of a model to ones of this class, in place.
    """

    replica_id: Any  # Function that returns the number of the replica.

    def next(self, ordered: bool = True) -> Any:
        seed = super().next(ordered=ordered)
        replica = self.replica_id()
        if isinstance(replica, int):
            offset = keras.ops.convert_to_tensor([seed_offset(replica), 0], seed.dtype)
        else:
            factor = keras.ops.convert_to_tensor([seed_offset(1), 0], seed.dtype)
            offset = keras.ops.cast(replica, seed.dtype) * factor
        return seed + offset


def use_replica_seeds(model: keras.Model, replica_id: Any) -> None:
    """Give dropout and stochastic depth of each replica masks of their own.

    The state stays the same on all replicas, and the first one draws what a single
    device draws.

    Args:
        model: its layers are changed in place.
        replica_id: function that returns the number of the replica that calls it.
    """
    for layer in all_layers(model):
        for generator in layer._seed_generators:
            generator.__class__ = ReplicaSeedGenerator
            generator.replica_id = replica_id


def strategy_of(model: Any) -> Any:
    """Return the tf.distribute strategy in whose scope a model was made, or None."""
    return model._distribute_strategy


def layout_map_of(engine: Any) -> Any:
    """Return the rules of a `keras.distribution.ModelParallel`."""
    return engine._layout_map


def use_worker_steps(model: Any, strategy: Any) -> None:
    """Let a model train under MultiWorkerMirroredStrategy.

    Keras 3.15 builds the model from a value of all replicas, which fails, and takes
    the mean of the logs along an axis that scalars do not have.
    """
    if "_worker_strategy" in model.__dict__:
        return
    model.__dict__["_worker_strategy"] = strategy

    def build(iterator: Any = None, data_batch: Any = None) -> None:
        if iterator is not None:
            data_batch = next(next(iter(iterator))[2])
        local = keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], data_batch
        )
        with strategy.scope():
            model._symbolic_build(data_batch=local)

    def with_axis(step: Any) -> Any:
        def wrapped(data: Any) -> dict[str, Any]:
            logs = step(data)
            return {k: keras.ops.reshape(v, (1,)) for k, v in logs.items()}

        return wrapped

    changes = {
        "_maybe_symbolic_build": build,
        "train_step": with_axis(model.train_step),
        "test_step": with_axis(model.test_step),
    }
    model.__dict__.update(changes)


def build_from_signature(model: Any, strategy: Any) -> None:
    """Let a model under tf.distribute be built without a batch of its data.

    Keras 3.15 takes one from the threads of a PyDataset, and those prepared behind it,
    and begins anew: each epoch would begin with the end of the one before.

    Args:
        model: changed in place.
        strategy: in whose scope it was made.
    """
    if "_build_of_keras" in model.__dict__:
        return
    own_build = model._maybe_symbolic_build

    def build(iterator: Any = None, data_batch: Any = None) -> None:
        adapter = getattr(iterator, "data_adapter", None)
        signature = getattr(adapter, "_output_signature", None)
        if signature is None:  # Other data sets do begin anew.
            own_build(iterator=iterator, data_batch=data_batch)
            return
        with strategy.scope():
            model._symbolic_build(data_batch=signature)

    model.__dict__["_build_of_keras"] = own_build
    model.__dict__["_maybe_symbolic_build"] = build


def check_no_engine_by_hand(model: Any, num_replicas: int) -> None:
    """Raise a ValueError if several devices were chosen past `keras_vit.distribute`.

    Args:
        model: to be trained.
        num_replicas: that `keras_vit.distribute` knows of.
    """
    if keras.backend.backend() == "jax" or num_replicas > 1:
        return  # keras.distribution works on JAX, whoever sets it.
    strategy = getattr(model, "_distribute_strategy", None)
    if keras.distribution.distribution() is not None:
        found = "keras.distribution, which Keras ignores on this backend"
    elif strategy is not None and strategy.num_replicas_in_sync > 1:
        found = f"the scope of a {type(strategy).__name__}"
    else:
        return
    raise ValueError(
        "Several devices are chosen by keras_vit.distribute, which repairs what Keras "
        f"does wrong on them, received {found}. Write with keras_vit.distribute(...): "
        "around model and training."
    )


@contextmanager
def checked_training(check: Any) -> Iterator[None]:
    """Check each model of Keras before it trains, inside a `with` block.

    Models that are no `TrainingModel` know of no other devices: stock Keras trains them
    with the same masks on each replica, and on torch each process a model of its own.

    Args:
        check: function of the model that raises an error.
    """
    names = ("fit", "train_on_batch")
    before = {name: keras.Model.__dict__.get(name) for name in names}

    def checked(loop: Any) -> Any:
        @functools.wraps(loop)
        def run(model: Any, *args: Any, **kwargs: Any) -> Any:
            check(model)
            return loop(model, *args, **kwargs)

        return run

    for name in names:
        setattr(keras.Model, name, checked(getattr(keras.Model, name)))
    try:
        yield
    finally:
        for name, own in before.items():
            if own is None:
                delattr(keras.Model, name)
            else:
                setattr(keras.Model, name, own)


def guard_loops(model: Any, check: Any) -> None:
    """Check arrays before `fit`, `evaluate` and `predict`, and lose no weights.

    Keras 3.15 on JAX takes the values out of the variables while it computes, and if a
    batch fails, leaves them without.

    Args:
        model: changed in place.
        check: function of the name of the loop, number of images and batch size.
    """
    if "_guarded_loops" in model.__dict__:
        return
    model.__dict__["_guarded_loops"] = True

    def guarded(name: str, loop: Any) -> Any:
        def run(x: Any = None, *args: Any, **kwargs: Any) -> Any:
            if hasattr(x, "shape"):
                batch_size = inspect.signature(loop).bind(x, *args, **kwargs).arguments
                check(name, x.shape[0], batch_size.get("batch_size") or 32)
            with _kept_values(model):
                return loop(x, *args, **kwargs)

        return run

    for name in ("fit", "evaluate", "predict"):
        model.__dict__[name] = guarded(name, getattr(model, name))


@contextmanager
def _kept_values(model: Any) -> Iterator[None]:
    if keras.backend.backend() != "jax":
        yield
        return
    before = [(variable, variable._value) for variable in model.variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in before:
            if variable._value is None:
                variable._value = value
        raise


def use_summed_metrics(model: Any, all_reduce: Any) -> None:
    """Make loss and metrics of a model those of all processes.

    Args:
        model: changed in place.
        all_reduce: function from a list of tensors to their sums over the processes.
    """
    if "_metrics_of_process" in model.__dict__:
        return
    own_result = model.get_metrics_result

    def result() -> dict[str, Any]:
        variables = [v for metric in model.metrics for v in metric.variables]
        own = [v.value.detach().clone() for v in variables]
        for variable, total in zip(variables, all_reduce(own), strict=True):
            variable.assign(total)
        logs = own_result()
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)
        return logs

    model.__dict__["_metrics_of_process"] = own_result
    model.__dict__["get_metrics_result"] = result


def use_gathered_predictions(model: Any, gather: Any) -> None:
    """Let `predict` return the outputs of all processes, on each of them.

    Keras 3.15 fails on JAX, where it reads outputs that lie in other processes, and
    returns those of one process on torch.

    Args:
        model: changed in place.
        gather: function from the outputs of a batch, one tensor, to those of the whole
            batch.
    """
    if "_predict_of_process" in model.__dict__:
        return
    if keras.backend.backend() == "torch":
        predict = model.predict_step
        model.__dict__["_predict_of_process"] = predict
        model.__dict__["predict_step"] = lambda data: keras.tree.map_structure(
            gather, predict(data)
        )
        return
    make = model.make_predict_function

    def make_gathering(force: bool = False) -> Any:
        if model.predict_function is not None and not force:
            return model.predict_function
        make(force)
        predict: Any = model.predict_function

        def step(state: Any, iterator: Any) -> Any:
            outputs, state = predict(state, iterator)
            return keras.tree.map_structure(gather, outputs), state

        model.predict_function = step
        return step

    model.predict_function = None
    model.__dict__["_predict_of_process"] = make
    model.__dict__["make_predict_function"] = make_gathering
