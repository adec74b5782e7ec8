"""The steps of `TrainingModel` on JAX: functions of the state, to be jitted.

Shapes: B batch, k micro-batches, B / k = m.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.training.step import factors, fill_up

State = tuple[list[Any], ...]


def train_step(model: Any, state: State, data: Any) -> tuple[dict[str, Any], State]:
    """Return the logs of one step and the new state."""
    import jax

    trainable, non_trainable, optimizer_state, metrics = state
    batch = keras.utils.unpack_x_y_sample_weight(data)
    steps, rows = model.accumulation_steps, batch[0].shape[0]
    if rows % steps:
        rows += -rows % steps
        batch = fill_up(batch, jax.numpy.arange(rows), batch[0].shape[0])
    x, y, weights = batch
    weights, mask, number = factors(weights, rows)

    def loss_of(
        trainable: Any, non_trainable: Any, x: Any, y: Any, weights: Any
    ) -> Any:
        mapping = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, non_trainable, strict=True),
            *zip(model.optimizer.variables, optimizer_state, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs, loss = model.outputs_and_loss(x, y, weights, training=True)
            scaled = model.optimizer.scale_loss(loss)
        variables = model.non_trainable_variables
        changed = [scope.get_current_value(variable) for variable in variables]
        return scaled, (loss, outputs, changed)

    gradient_of = jax.value_and_grad(loss_of, has_aux=True)
    if steps == 1:
        (_, (loss, outputs, non_trainable)), gradients = gradient_of(
            trainable, non_trainable, x, y, weights
        )
    else:
        gradients, non_trainable, loss, outputs = _accumulate(
            gradient_of, trainable, non_trainable, (x, y, weights), steps
        )
    trainable, optimizer_state = model.optimizer.stateless_apply(
        optimizer_state, gradients, trainable
    )
    logs, metrics = _record(model, metrics, x, y, outputs, mask, loss, number)
    return logs, (trainable, non_trainable, optimizer_state, metrics)


def test_step(model: Any, state: State, data: Any) -> tuple[dict[str, Any], State]:
    """Return the logs of one batch of evaluation and the new state."""
    trainable, non_trainable, metrics = state
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    weights, mask, number = factors(weights, x.shape[0])
    mapping = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, non_trainable, strict=True),
    ]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        outputs, loss = model.outputs_and_loss(x, y, weights, training=False)
    variables = model.non_trainable_variables
    non_trainable = [scope.get_current_value(variable) for variable in variables]
    logs, metrics = _record(model, metrics, x, y, outputs, mask, loss, number)
    return logs, (trainable, non_trainable, metrics)


def _accumulate(
    gradient_of: Any, trainable: Any, non_trainable: Any, batch: Any, steps: int
) -> tuple[Any, Any, Any, Any]:
    """Return mean gradients, state, mean loss and the outputs of all micro-batches."""
    import jax

    def cut(values: Any) -> Any:
        # Row i goes to micro-batch i modulo k, so that each has rows of each device.
        rows = values.reshape(-1, steps, *values.shape[1:])  # (m, k, ...)
        return jax.numpy.moveaxis(rows, 1, 0)  # (k, m, ...)

    def join(values: Any) -> Any:
        rows = jax.numpy.moveaxis(values, 0, 1)  # (m, k, ...)
        return rows.reshape(-1, *rows.shape[2:])  # (B, ...)

    def add(carry: Any, micro_batch: Any) -> Any:
        total, non_trainable = carry
        (_, (loss, outputs, non_trainable)), gradients = gradient_of(
            trainable, non_trainable, *micro_batch
        )
        total = jax.tree.map(jax.numpy.add, total, gradients)
        return (total, non_trainable), (loss, outputs)

    zeros = jax.tree.map(jax.numpy.zeros_like, trainable)
    (total, non_trainable), (losses, outputs) = jax.lax.scan(
        add, (zeros, non_trainable), jax.tree.map(cut, batch)
    )
    gradients = [gradient / steps for gradient in total]
    return gradients, non_trainable, losses.mean(), join(outputs)


def _record(model: Any, metrics: Any, *values: Any) -> tuple[dict[str, Any], list[Any]]:
    variables = model.metrics_variables
    mapping = list(zip(variables, metrics, strict=True))
    with keras.StatelessScope(state_mapping=mapping) as scope:
        logs = model.record(*values)
    return logs, [scope.get_current_value(variable) for variable in variables]
