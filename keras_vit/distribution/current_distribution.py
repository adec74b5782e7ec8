"""Which devices share the batch of the step that runs."""

from __future__ import annotations

import keras

from keras_vit.distribution.base import Distribution, entered


def current() -> Distribution:
    """Return the distribution whose scope is open, else that of a single device."""
    if entered:
        return entered[-1]
    if keras.backend.backend() == "tensorflow":
        # The optimizers of this package also work under a strategy without a scope.
        from keras_vit.distribution.tensorflow_engine import of_this_replica

        return of_this_replica() or Distribution()
    return Distribution()
