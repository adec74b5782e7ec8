"""Gradients of class scores with respect to inputs, on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def compiled(
    model: Any,
    zeros: Callable[[Any], list[Any]],
    direction: Callable[[Any, Any], Any],
    finish: Callable[[dict[str, Any], list[Any]], Any],
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return a jitted function from images and targets to outputs and what is wanted.

    Args:
        model: from a list, images and more inputs, to a dictionary with "outputs".
        zeros: from images to the values of the other inputs, of which the gradients
            are.
        direction: from outputs and targets to what the gradients of outputs are
            multiplied by: the score of a picture is the sum of both.
        finish: from what the model returns and the gradients to what is wanted.
    """

    @jax.jit
    def step(weights: Any, others: Any, images: Any, targets: Any) -> tuple[Any, Any]:
        def run(points: list[Any]) -> tuple[Any, Any]:
            inputs = [images, *points]
            found, _ = model.stateless_call(weights, others, inputs, training=False)
            return found["outputs"], found

        outputs, pull, found = jax.vjp(run, zeros(images), has_aux=True)
        (gradients,) = pull(direction(outputs, targets))
        return outputs, finish(found, gradients)

    def call(images: Any, targets: Any) -> tuple[Any, Any]:
        weights = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        return step(weights, others, images, targets)

    return call
