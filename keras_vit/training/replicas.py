"""What a training step has to know of the other devices that share a batch.

Every engine sums over replicas at these places and nowhere else. On one device, and on
JAX where the compiler does it, each function returns what it is given.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_vit.distribution import current


def num_replicas() -> int:
    """Return how many replicas compute a step side by side; 1 on one device."""
    backend = keras.backend.backend()
    if backend == "torch":
        return current().num_replicas
    context = _tensorflow_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def reduce_gradients(gradients: list[Any]) -> list[Any]:
    """Return the gradients of the global batch from those of this replica.

    The optimizers of this package call it before they clip, and the loss scaling before
    it looks for overflow, so that both see the same values on each replica.

    Args:
        gradients: tensors or None, of the loss of this replica as Keras scales it. On
            TensorFlow Keras divides a loss by the number of replicas, so that the sum
            is the gradient of the global batch; on torch it is the mean.
    """
    known = [g for g in gradients if g is not None]
    if num_replicas() == 1 or not known:
        return list(gradients)
    if keras.backend.backend() == "torch":
        sums = _current_torch().all_reduce(known)
        reduced = iter([total.div_(num_replicas()) for total in sums])
    else:
        reduced = iter(_tensorflow_context().all_reduce("SUM", known))
    return [None if g is None else next(reduced) for g in gradients]


def reduce_sum(value: Any) -> Any:
    """Return the sum of a scalar over the replicas, such as a number of images."""
    if num_replicas() == 1:
        return value
    if keras.backend.backend() == "torch":
        return _current_torch().all_reduce([value])[0]
    return _tensorflow_context().all_reduce("SUM", value)


def loss_divisor() -> int:
    """Return what a loss of Keras was divided by beside the number of images.

    On TensorFlow it is the number of replicas, so that sums over them are means.
    """
    return 1 if keras.backend.backend() == "torch" else num_replicas()


def _current_torch() -> Any:
    return current()


def _tensorflow_context() -> Any:
    """Return the replica context of tf.distribute, None elsewhere."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow

    return tensorflow.distribute.get_replica_context()
