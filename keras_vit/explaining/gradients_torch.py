"""Gradients of class scores with respect to inputs, on torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def compiled(
    model: Any,
    zeros: Callable[[Any], list[Any]],
    direction: Callable[[Any, Any], Any],
    finish: Callable[[dict[str, Any], list[Any]], Any],
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return a function from images and targets to outputs and what is wanted.

    The arguments are those of `gradients_jax.compiled`. Keras does not compile on torch
    by itself, so this does not either.
    """

    def step(images: Any, targets: Any) -> tuple[Any, Any]:
        points = [point.requires_grad_() for point in zeros(images)]
        with torch.enable_grad():
            found = model([images, *points], training=False)
            outputs = found["outputs"]
            gradients = torch.autograd.grad(
                outputs,
                points,
                grad_outputs=direction(outputs.detach(), targets),
                allow_unused=True,
                materialize_grads=True,
            )
        with torch.no_grad():
            return outputs.detach(), finish(found, list(gradients))

    return step
