"""The steps of `TrainingModel` on torch."""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.training.step import factors, fill_up


def train_step(model: Any, data: Any) -> dict[str, Any]:
    """Make one update and return the logs."""
    import torch

    batch = keras.utils.unpack_x_y_sample_weight(data)
    steps, rows = model.accumulation_steps, batch[0].shape[0]
    if rows % steps:
        numbers = torch.arange(rows + -rows % steps, device=batch[0].device)
        batch = fill_up(batch, numbers, rows)
    x, y, weights = batch
    weights, mask, number = factors(weights, x.shape[0])
    variables = model.trainable_variables
    for variable in variables:
        variable.value.grad = None
    outputs, losses = [], []
    for i in range(steps):
        # Row i goes to micro-batch i modulo k, as on the other backends.
        part = [None if v is None else v[i::steps] for v in (x, y, weights)]
        logits, loss = model.outputs_and_loss(*part, training=True)
        (model.optimizer.scale_loss(loss) / steps).backward()
        outputs.append(logits.detach())
        losses.append(loss.detach())
    gradients = [variable.value.grad for variable in variables]
    with torch.no_grad():
        model.optimizer.apply(gradients, variables)
        joined = torch.stack(outputs, dim=1).flatten(0, 1)  # (B, classes)
        loss = torch.stack(losses).mean()
        return model.record(x, y, joined, mask, loss, number)


def test_step(model: Any, data: Any) -> dict[str, Any]:
    """Return the logs of one batch of evaluation."""
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    weights, mask, number = factors(weights, x.shape[0])
    outputs, loss = model.outputs_and_loss(x, y, weights, training=False)
    return model.record(x, y, outputs, mask, loss, number)
