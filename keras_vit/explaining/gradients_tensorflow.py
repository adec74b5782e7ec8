"""Gradients of class scores with respect to inputs, on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compiled(
    model: Any,
    zeros: Callable[[Any], list[Any]],
    direction: Callable[[Any, Any], Any],
    finish: Callable[[dict[str, Any], list[Any]], Any],
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return a graph from images and targets to outputs and what is wanted.

    The arguments are those of `gradients_jax.compiled`.
    """

    @tf.function(autograph=False)
    def step(images: Any, targets: Any) -> tuple[Any, Any]:
        points = zeros(images)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            found = model([images, *points], training=False)
        outputs = found["outputs"]
        gradients = tape.gradient(
            outputs,
            points,
            output_gradients=direction(outputs, targets),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return outputs, finish(found, gradients)

    return step
