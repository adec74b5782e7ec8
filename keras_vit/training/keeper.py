"""What is kept while a model trains: best weights, history, checkpoints."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any, cast

import keras

from keras_vit.distribution import Distribution
from keras_vit.keras_file import save_model
from keras_vit.training.checkpoint import (
    Position,
    global_random_state,
    load_checkpoint,
    save_checkpoint,
    set_global_random_state,
    synchronize,
)
from keras_vit.training.ema import averaged_weights
from keras_vit.training.history import History, read_history, write_history
from keras_vit.training.interruption import Interruption, TrainingInterrupted
from keras_vit.training.run_folder import CHECKPOINT_FOLDER, HISTORY_FILE, MODEL_FILE
from keras_vit.training.step import TrainingModel

# Steps after which processes ask each other whether one has to stop.
ASK_STEPS = 10
STOP, SAVE, BAD_LOSS = "stop", "save", "loss"


class Keeper(keras.callbacks.Callback):
    """Keep the best weights, the history and, with a folder, the files.

    Args:
        folder: for the files, or None.
        facts: what the run is made of; the same when it is taken up.
        epochs: of the run.
        interruption: tells whether the system wants the run to stop.
        devices: says which process writes.
        is_averaged: whether the best model has the averaged weights.
        checkpoint_seconds: time after which a checkpoint is written within an epoch.
    """

    def __init__(
        self,
        folder: Path | None,
        facts: dict[str, Any],
        epochs: int,
        *,
        interruption: Interruption,
        devices: Distribution,
        is_averaged: bool = False,
        checkpoint_seconds: float = 600.0,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.facts = facts
        self.epochs = epochs
        self.interruption = interruption
        self.devices = devices
        self.is_averaged = is_averaged
        self.checkpoint_seconds = checkpoint_seconds
        self.batches: Any = None
        self.history: History = []
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None
        self.position = Position()
        self.loss_watch = LossWatch()
        self._start = 0  # batches of this epoch that an earlier run has finished
        self._metrics: list[Any] | None = None
        self._random_state: dict[str, Any] | None = None
        self._written = time.monotonic()

    def resume(self, model: TrainingModel, folder: Path) -> None:
        """Go back to the state that a stopped run has left in `folder`."""
        checkpoint = folder / CHECKPOINT_FOLDER
        self.position = load_checkpoint(
            checkpoint, model, facts=self.facts, devices=self.devices
        )
        self.history = read_history(folder / HISTORY_FILE)[: self.position.epoch]
        if self.history:
            self.best_epoch = int(max(self.history, key=rank)["epoch"])
        if self.position.batch:
            # `fit` begins an epoch by setting the metrics to zero.
            variables: Any = model.metrics_variables
            self._metrics = [keras.ops.convert_to_numpy(v) for v in variables]
            self._random_state = global_random_state()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._random_state is not None:
            # torch's data loader draws when an epoch begins, here in its middle.
            set_global_random_state(self._random_state)
            self._random_state = None
        # Here and not at the end of a batch, whose callbacks wait for its results, and
        # JAX would have nothing to do until they have come.
        self.position = Position(self.position.epoch, self._start + batch)
        if self.position.batch == 0:
            return  # The end of the epoch before has seen to it.
        # Processes ask each other, which takes time, now and then only.
        if self.devices.num_processes == 1 or self.position.batch % ASK_STEPS == 0:
            is_due = time.monotonic() - self._written > self.checkpoint_seconds
            self._answer_wishes(is_due)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Order and augmentation follow from the epoch, also after a restart.
        self.batches.epoch = epoch
        self._start = self.position.batch
        if self._metrics is not None:
            variables: Any = cast(keras.Model, self.model).metrics_variables
            for variable, value in zip(variables, self._metrics, strict=True):
                variable.assign(value)
            self._metrics = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in (logs or {}).items()}}
        if not math.isfinite(row["loss"]):
            self._refuse_loss(row["loss"])
        self.position = Position(epoch + 1)
        self.history.append(row)
        is_best = max(self.history, key=rank) is row
        if is_best:
            self.best_epoch = epoch + 1
        if self.folder is None:
            if is_best:
                with self._best_of_this_epoch() as model:
                    self.best_weights = model.get_weights()
            return
        # Best model and history first: a checkpoint must never be ahead of them.
        if is_best:
            with self._best_of_this_epoch() as model, self.devices.writing() as writes:
                if writes:  # A LoRA layer of Keras saves the sum.
                    save_model(model, self.folder / MODEL_FILE)
        with self.devices.writing() as writes:
            if writes:
                write_history(self.folder / HISTORY_FILE, self.history)
        if epoch + 1 < self.epochs:
            self._answer_wishes(True)

    @contextlib.contextmanager
    def _best_of_this_epoch(self) -> Any:
        """Give the model that is trained, with the weights that count."""
        trained = cast(TrainingModel, self.model)
        scope = contextlib.nullcontext()
        if self.is_averaged:
            scope = averaged_weights(trained)
        with scope:
            yield trained.model

    def _checkpoint(self) -> None:
        folder = cast(Path, self.folder) / CHECKPOINT_FOLDER
        with self.devices.writing():
            save_checkpoint(
                folder,
                cast(keras.Model, self.model),
                position=self.position,
                facts=self.facts,
                devices=self.devices,
            )
        self._written = time.monotonic()

    def _answer_wishes(self, is_due: bool) -> None:
        """Do what any process wishes: write a checkpoint, or stop.

        Raises:
            TrainingInterrupted: if SIGTERM came.
            ValueError: if the loss is not a number.
        """
        wishes = self.devices.exchange(self._wish(is_due))
        if BAD_LOSS in wishes:
            self._refuse_loss(self.loss_watch.bad_loss)
        if STOP in wishes or SAVE in wishes:
            self._checkpoint()
        if STOP in wishes:
            raise TrainingInterrupted(
                f"Stopped by SIGTERM after epoch {self.position.epoch}, batch "
                f"{self.position.batch}; the same command goes on from there."
            )

    def _wish(self, is_due: bool) -> str:
        if self.loss_watch.bad_loss is not None:
            return BAD_LOSS
        if self.folder is None:
            return ""
        return STOP if self.interruption.requested else SAVE if is_due else ""

    def _refuse_loss(self, loss: float | None) -> None:
        synchronize(cast(keras.Model, self.model))
        found = "not a number" if loss is None else loss  # None: of another process
        raise ValueError(
            f"The loss is {found} in epoch {self.position.epoch + 1}. The last good "
            "state is kept. Use a lower learning_rate, a longer warm-up or a smaller "
            "gradient_clip_norm."
        )


class LossWatch(keras.callbacks.Callback):
    """Look whether the loss is a number, without making the next step wait.

    Attributes:
        bad_loss: the first one that is not; None: all are.
    """

    # Keras calls it from a thread of its own when the results of a batch are there.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self.bad_loss: float | None = None

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss) and self.bad_loss is None:
            self.bad_loss = loss


def rank(row: dict[str, float]) -> tuple[float, ...]:
    """Return what is highest in the best epoch."""
    if "val_accuracy" not in row:
        return (row["epoch"],)
    # The later epoch wins a tie in both.
    return (row["val_accuracy"], -row["val_loss"], row["epoch"])
