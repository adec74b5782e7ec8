"""What a training step has to know of the other devices that share a batch.

Every engine sums over replicas at these three places and nowhere else. On one device,
and on JAX where the compiler does it, each function returns what it is given.
"""

from __future__ import annotations

from typing import Any

import keras


def num_replicas() -> int:
    """Return how many replicas share a global batch; 1 on one device."""
    context = _tensorflow_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def reduce_gradients(gradients: list[Any]) -> list[Any]:
    """Return the gradients of the global batch from those of this replica.

    The optimizers of this package call it before they clip, and the loss scaling before
    it looks for overflow, so that both see the same values on each replica.

    Args:
        gradients: tensors or None, of the loss of this replica as Keras scales it. On
            TensorFlow Keras divides a loss by the number of replicas, so that the sum
            is the gradient of the global batch.
    """
    context = _tensorflow_context()
    known = [g for g in gradients if g is not None]
    if context is None or context.num_replicas_in_sync == 1 or not known:
        return list(gradients)
    reduced = iter(context.all_reduce("SUM", known))
    return [None if g is None else next(reduced) for g in gradients]


def reduce_sum(value: Any) -> Any:
    """Return the sum of a scalar over the replicas, such as a number of images."""
    context = _tensorflow_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce("SUM", value)


def loss_divisor() -> int:
    """Return what a loss of Keras was divided by beside the number of images.

    On TensorFlow it is the number of replicas, so that sums over them are means.
    """
    return num_replicas()


def _tensorflow_context() -> Any:
    """Return the replica context of tf.distribute, None elsewhere."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow

    return tensorflow.distribute.get_replica_context()
