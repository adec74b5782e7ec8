"""The steps of `TrainingModel` on TensorFlow.

Shapes: B batch, k micro-batches, B / k = m.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.training.step import factors, fill_up


def train_step(model: Any, data: Any) -> dict[str, Any]:
    """Make one update and return the logs."""
    import tensorflow as tf

    batch = keras.utils.unpack_x_y_sample_weight(data)
    steps, rows = model.accumulation_steps, tf.shape(batch[0])[0]
    if steps > 1 and (batch[0].shape[0] or 1) % steps:  # Or not known before it runs.
        batch = fill_up(batch, tf.range(rows + -rows % steps), rows)
    x, y, weights = batch
    weights, mask, number = factors(weights, tf.shape(x)[0])
    variables = model.trainable_variables
    total, outputs, losses = None, [], []
    for i in range(steps):
        part = [None if v is None else v[i::steps] for v in (x, y, weights)]
        # One after the other: TensorFlow would run all of them at once, and need the
        # memory of all.
        done = [] if total is None else [t for t in total if t is not None]
        with tf.control_dependencies(done):
            part[0] = tf.identity(part[0])
        with tf.GradientTape() as tape:
            logits, loss = model.outputs_and_loss(*part, training=True)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        total = gradients if total is None else _sum(total, gradients)
        outputs.append(logits)
        losses.append(loss)
    means = [t if t is None or steps == 1 else t / steps for t in total or []]
    model.optimizer.apply(means, variables)
    shape = (-1, *outputs[0].shape[1:])
    joined = tf.reshape(tf.stack(outputs, axis=1), shape)  # (B, classes)
    loss = ops.mean(ops.stack(losses))
    return model.record(x, y, joined, mask, loss, number)


def test_step(model: Any, data: Any) -> dict[str, Any]:
    """Return the logs of one batch of evaluation."""
    import tensorflow as tf

    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    weights, mask, number = factors(weights, tf.shape(x)[0])
    outputs, loss = model.outputs_and_loss(x, y, weights, training=False)
    return model.record(x, y, outputs, mask, loss, number)


def _sum(one: list[Any], other: list[Any]) -> list[Any]:
    pairs = zip(one, other, strict=True)
    return [a if b is None else b if a is None else a + b for a, b in pairs]
