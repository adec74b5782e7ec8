"""A model whose loops ask the open distribution what its devices have to share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_vit.distribution.base import Distribution
from keras_vit.distribution.current_distribution import current
from keras_vit.distribution.prepared import PreparedBatches
from keras_vit.keras_internals import TrainerHooks


class DistributedModel(TrainerHooks):
    """What `TrainingModel` adds to the loops of Keras for several devices.

    - Models that are not ready for the devices, and arrays that these cannot share,
      are refused before the first step.
    - Loss and metrics count the images of all processes.
    - `predict` returns the outputs of all processes, on each of them.

    Attributes:
        started_by: the distribution that made the model ready since it was compiled.
    """

    started_by: Distribution | None = None

    def compile(self, *args: Any, **kwargs: Any) -> None:
        self.started_by = None
        super().compile(*args, **kwargs)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *others: Any,
        **named: Any,
    ) -> Any:
        with self._sharing("fit", x, batch_size):
            others = tuple(_taken(value) for value in others)
            named = {name: _taken(value) for name, value in named.items()}
            return super().fit(_taken(x), y, batch_size, *others, **named)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *others: Any,
        **named: Any,
    ) -> Any:
        with self._sharing("evaluate", x, batch_size):
            return super().evaluate(_taken(x), y, batch_size, *others, **named)

    def predict(
        self, x: Any, batch_size: int | None = None, *others: Any, **named: Any
    ) -> Any:
        with self._sharing("predict", x, batch_size):
            return super().predict(_taken(x), batch_size, *others, **named)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        current().check_started(self)
        return super().train_on_batch(*args, **kwargs)

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        predicted: Any = super().predict_step(*args, **kwargs)
        if keras.backend.backend() != "jax":
            return current().gather_outputs(predicted)
        outputs, state = predicted
        return current().gather_outputs(outputs), state

    def get_metrics_result(self) -> dict[str, Any]:
        with current().summed_metrics(self):
            return super().get_metrics_result()

    @contextmanager
    def _sharing(self, loop: str, x: Any, batch_size: int | None) -> Iterator[None]:
        """Check what a loop is given, and keep the weights if it fails."""
        devices = current()
        devices.check_started(self)
        if hasattr(x, "shape"):
            devices.check_arrays(loop, x.shape[0], batch_size or 32)
        try:
            yield
        except BaseException:
            if keras.backend.backend() == "jax":
                # The last step's values are not in the variables yet.
                self.jax_state_sync()  # pyright: ignore[reportAttributeAccessIssue]
            raise


def _taken(value: Any) -> Any:
    return value.batches if isinstance(value, PreparedBatches) else value
