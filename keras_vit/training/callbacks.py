"""Callbacks of the user in a run, which may be several `fit`s and several processes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

State = dict[str, Any]  # an attribute and its value, a JSON value
_BATCH_ENDS = ("on_batch_end", "on_train_batch_end", "on_test_batch_end")


class GivenCallbacks(keras.callbacks.Callback):
    """Call callbacks as one `fit` over the whole run would.

    A run is one `fit` for each image size, and one for the rest of an epoch in which it
    was stopped. They see one beginning and one end of training, and the number of
    epochs of the run.

    Numbers and texts among their attributes that changed since the start are their
    state, which a checkpoint holds: such as how long `EarlyStopping` has waited.

    Args:
        callbacks: of the user.
        epochs: of the run.
        former: their states in the checkpoint that the run goes on from.
        batches_done: of the epoch in whose middle that checkpoint was written.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        epochs: int,
        former: Sequence[tuple[str, State]] = (),
        batches_done: int = 0,
    ) -> None:
        super().__init__()
        self.callbacks = tuple(callbacks)
        self.epochs = epochs
        self._first = [_values(callback) for callback in self.callbacks]
        self._former: Sequence[tuple[str, State]] | None = former or None
        self._batches_done = batches_done
        self._has_begun = False
        self._last_logs: Any = None
        # Before the step that runs now: a checkpoint within an epoch is of that time.
        self.before_step: list[tuple[str, State]] = []
        if former and [name for name, _ in former] != self._names():
            warnings.warn(
                f"The run was stopped with the callbacks {[n for n, _ in former]} and "
                f"goes on with {self._names()}, which begin anew.",
                stacklevel=3,
            )
            self._former = None

    @property
    def async_safe(self) -> bool:
        """Whether all of them may be called from another thread at a batch's end."""
        return all(
            getattr(callback, "async_safe", False)
            or all(_is_default(callback, name) for name in _BATCH_ENDS)
            for callback in self.callbacks
        )

    def states(self) -> list[tuple[str, State]]:
        """Return the class and the state of each callback now."""
        found = []
        for callback, first in zip(self.callbacks, self._first, strict=True):
            changed = {
                name: value
                for name, value in _values(callback).items()
                if name not in first or first[name] != value
            }
            found.append((type(callback).__name__, changed))
        return found

    def end(self) -> None:
        """Tell them that training has ended."""
        if self._has_begun:
            for callback in self.callbacks:
                callback.on_train_end(self._last_logs)

    def set_params(self, params: Any) -> None:
        params = dict(params or {})
        if params.get("steps") is not None:
            params["steps"] += self._batches_done  # The rest of an epoch.
        self.params = {**params, "epochs": self.epochs}
        for callback in self.callbacks:
            callback.set_params(dict(self.params))

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._has_begun:
            self._call("on_train_begin", logs)
            self._has_begun = True
            if not self._batches_done:
                self._go_back()

    def on_train_end(self, logs: Any = None) -> None:
        self._last_logs = logs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._call("on_epoch_begin", epoch, logs)
        self._go_back()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._call("on_epoch_end", epoch, logs)
        self._batches_done = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.before_step = self.states()
        self._call("on_train_batch_begin", self._batches_done + batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._call("on_train_batch_end", self._batches_done + batch, logs)

    def on_test_begin(self, logs: Any = None) -> None:
        self._call("on_test_begin", logs)

    def on_test_end(self, logs: Any = None) -> None:
        self._call("on_test_end", logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._call("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._call("on_test_batch_end", batch, logs)

    def _call(self, name: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, name)(*arguments)

    def _go_back(self) -> None:
        """Give the callbacks the state of the checkpoint, once."""
        former, self._former = self._former, None
        for callback, (_, state) in zip(self.callbacks, former or (), strict=False):
            vars(callback).update(state)

    def _names(self) -> list[str]:
        return [type(callback).__name__ for callback in self.callbacks]


def check_callbacks(callbacks: Any) -> tuple[keras.callbacks.Callback, ...]:
    """Return callbacks as a tuple.

    Raises:
        TypeError: if they are something else.
    """
    if isinstance(callbacks, keras.callbacks.Callback):
        return (callbacks,)
    found = tuple(callbacks)
    wrong = [c for c in found if not isinstance(c, keras.callbacks.Callback)]
    if wrong:
        raise TypeError(
            "callbacks must be keras.callbacks.Callback objects, received "
            f"{wrong[0]!r}. Make an object of a class that extends it."
        )
    return found


def _is_default(callback: Any, name: str) -> bool:
    """Return whether a callback does not say what to do in one of its methods."""
    return getattr(type(callback), name) is getattr(keras.callbacks.Callback, name)


def _values(callback: Any) -> State:
    """Return the numbers and texts among the attributes of a callback."""
    values = {}
    for name, value in vars(callback).items():
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or isinstance(value, (bool, int, float, str)):
            values[name] = value
    return values
