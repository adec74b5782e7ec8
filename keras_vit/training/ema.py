"""Evaluate and save with the moving averages of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_vit.keras_internals import moving_averages


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Give a compiled model its averaged weights inside a `with` block.

    Afterwards it has those of training again, bit for bit. The averages are those of an
    optimizer made with `use_ema=True`; before its first step they are the weights.

    Args:
        model: compiled; a model that shares its weights changes with it.

    Raises:
        ValueError: if the optimizer keeps no averages.

    Example:
        ```python
        model = keras_vit.load("saved_models/photos")
        keras_vit.Recipe(ema_decay=0.99).compile(model, steps_per_epoch=1)

        # After model.fit(...):
        with keras_vit.training.averaged_weights(model):
            path = keras_vit.save(model, "averaged.keras")
        print(path)  # averaged.keras
        ```
    """
    pairs = _pairs(model)
    # Copies: JAX gives the memory of a weight away in training, torch writes into it.
    own = [ops.copy(ops.convert_to_tensor(variable)) for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(ops.copy(ops.convert_to_tensor(average)))
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, own, strict=True):
            variable.assign(value)


class AveragedWeights(keras.callbacks.Callback):
    """Evaluate with the averaged weights within `fit`, and go on with the others.

    Stands before callbacks that save: what they do at the end of an epoch sees the
    weights of training; `averaged_weights(model)` around a `save` writes the averages.
    At the end of `fit` Keras itself leaves the averages in the model.

    Example:
        >>> model = keras_vit.ViT.from_variant("test", num_classes=3)
        >>> recipe = keras_vit.Recipe(epochs=6, ema_decay=0.99)
        >>> recipe.compile(model, steps_per_epoch=1)
        >>> callbacks = [keras_vit.training.AveragedWeights()]
        >>> images, labels = np.zeros((4, 32, 32, 3)), np.zeros(4, "int32")
        >>> history = model.fit(
        ...     images, labels, validation_data=(images, labels), verbose=0,
        ...     callbacks=callbacks)
    """

    def __init__(self) -> None:
        super().__init__()
        self._scope: Any = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._scope = averaged_weights(self.model)  # pyright: ignore[reportArgumentType]
        self._scope.__enter__()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._scope.__exit__(None, None, None)
        self._scope = None


def _pairs(model: Any) -> list[tuple[Any, Any]]:
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or not optimizer.use_ema:
        raise ValueError(
            "The model must be compiled with an optimizer that averages its weights, "
            "received one without. Pass use_ema=True to it, or ema_decay to the recipe."
        )
    # A step that was not made leaves the averages at zero.
    if not optimizer.built or int(ops.convert_to_numpy(optimizer.iterations)) == 0:
        return []
    return moving_averages(optimizer)
