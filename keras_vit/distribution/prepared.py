"""Batches for several devices, which a plain model of Keras cannot take by mistake."""

from __future__ import annotations

from typing import Any, NoReturn

import keras


class PreparedBatches(keras.utils.PyDataset):
    """What `Distribution.prepare` returns for several replicas.

    A `TrainingModel` takes out what is inside. Any other model of Keras asks for the
    first batch, and gets an error: it would train with the same masks on each replica,
    and on torch as one model for each process.

    Args:
        batches: what `fit` of this engine takes.
    """

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> NoReturn:
        raise refusal("a model that asks for their batches itself")

    def __getitem__(self, index: int) -> NoReturn:
        raise refusal("a model that asks for their batches itself")


def refusal(received: str) -> TypeError:
    """Return the error for a model that knows of no other devices."""
    return TypeError(
        "Several devices train a keras_vit.training.TrainingModel, which knows of the "
        f"others, received {received}. Wrap the model: trained = "
        "keras_vit.training.TrainingModel(model), then compile, start and train that."
    )
