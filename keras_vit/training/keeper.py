"""What is kept while a model trains: best weights, history, checkpoints."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import keras

from keras_vit.data.trained_pictures import TrainedPictures, write_trained_pictures
from keras_vit.distribution import Distribution
from keras_vit.keras_file import load_keras, save_keras
from keras_vit.model_copy import plain_copy, write_weights
from keras_vit.model_facts import copy_facts
from keras_vit.training.callbacks import GivenCallbacks
from keras_vit.training.checkpoint import (
    Facts,
    Position,
    global_random_state,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
    set_global_random_state,
    synchronize,
)
from keras_vit.training.ema import averaged_weights
from keras_vit.training.history import History, rank, write_history
from keras_vit.training.interruption import Interruption, TrainingInterrupted
from keras_vit.training.run_folder import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    HISTORY_FILE,
    MODEL_FILE,
    NEW_CHECKPOINT_FOLDER,
    FormerRun,
    best_model_problem,
)
from keras_vit.training.step import TrainingModel

# Steps after which processes ask each other whether one has to stop.
ASK_STEPS = 10
STOP, SAVE, BAD_LOSS = "stop", "save", "loss"


class Keeper(keras.callbacks.Callback):
    """Keep the best weights, the history and, with a folder, the files.

    Args:
        best: model that gets the weights of each best epoch; the trained one is a copy
            of it.
        folder: for the files, or None.
        facts: what the run is made of; the same when it is taken up.
        epochs: of the run.
        interruption: tells whether the system wants the run to stop.
        devices: says which process writes.
        pictures: that the run trains on and holds out, for its folder.
        former: the run in the folder that this one replaces with its first
            checkpoint. Default None.
        is_averaged: whether the best model has the averaged weights.
        keep: how many of the best epochs have a file each. Default 1: the best alone.
        patience: epochs without a better one after which the run ends. Default None.
        checkpoint_seconds: time after which a checkpoint is written within an epoch.

    Attributes:
        given: the callbacks of the user, whose state is part of a checkpoint.
        is_over: whether the run has ended, for another reason than its last epoch.
    """

    def __init__(
        self,
        best: keras.Model,
        folder: Path | None,
        facts: Facts,
        epochs: int,
        *,
        interruption: Interruption,
        devices: Distribution,
        pictures: TrainedPictures,
        former: FormerRun | None = None,
        is_averaged: bool = False,
        keep: int = 1,
        patience: int | None = None,
        checkpoint_seconds: float = 600.0,
    ) -> None:
        super().__init__()
        self.best = best
        self.folder = folder
        self.facts = facts
        self.epochs = epochs
        self.interruption = interruption
        self.devices = devices
        self.pictures = pictures
        self.former = former
        self.is_averaged = is_averaged
        self.keep = keep
        self.patience = patience
        self._epoch_model: keras.Model | None = None
        self.given: GivenCallbacks | None = None
        self.is_over = False
        self.checkpoint_seconds = checkpoint_seconds
        self.batches: Any = None
        self.history: History = []
        self.best_epoch = 0
        self.position = Position()
        self.loss_watch = LossWatch()
        self._has_begun = False  # to write
        self._start = 0  # batches of this epoch that an earlier run has finished
        self._metrics: list[Any] | None = None
        self._random_state: dict[str, Any] | None = None
        self._written = time.monotonic()

    def resume(self, model: TrainingModel, folder: Path) -> None:
        """Go back to the state that a stopped run has left in `folder`."""
        checkpoint = folder / CHECKPOINT_FOLDER
        facts, devices = self.facts, self.devices
        self.position = load_checkpoint(checkpoint, model, facts=facts, devices=devices)
        self.history = [*self.position.history]
        self.is_over = self.position.is_over
        if self.history:
            self.best_epoch = int(max(self.history, key=rank)["epoch"])
            if best_model_problem(folder):  # `open_output` saw that it is this state.
                self._keep_weights(model)
            write_weights(load_keras(folder / MODEL_FILE), self.best)
        with devices.writing() as writes:
            if writes:  # The files for people say what the checkpoint says.
                write_history(folder / HISTORY_FILE, self.history)
        if self.position.batch:
            # `fit` begins an epoch by setting the metrics to zero.
            variables: Any = model.metrics_variables
            self._metrics = [devices.local_values(v) for v in variables]
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
                self.devices.set_local_values(variable, value)
            self._metrics = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in (logs or {}).items()}}
        if not math.isfinite(row["loss"]):
            self._refuse_loss(row["loss"])
        self.position = Position(epoch + 1)
        self.history.append(row)
        if self.former is not None:
            self._checkpoint()
        # The best model first: a checkpoint must not be ahead of it.
        if max(self.history, key=rank) is row:
            self.best_epoch = epoch + 1
            self._keep_weights(cast(TrainingModel, self.model))
        self._keep_epoch(row)
        model: Any = self.model
        if self.patience is not None and epoch + 1 - self.best_epoch >= self.patience:
            model.stop_training = True
        # Callbacks of the user say so, too, perhaps in one of the processes alone.
        wishes = self.devices.exchange(str(bool(model.stop_training)))
        self.is_over = model.stop_training = str(True) in wishes
        if self.folder is None:
            return
        with self.devices.writing() as writes:
            if writes:
                write_history(self.folder / HISTORY_FILE, self.history)
        if epoch + 1 < self.epochs:
            self._answer_wishes(True)

    def _keep_weights(self, trained: TrainingModel) -> None:
        """Give the best model, and its file, the weights that count."""
        with averaged_weights(trained) if self.is_averaged else nullcontext():
            write_weights(trained.model, self.best)
        if self.folder is None:
            return
        with self.devices.writing() as writes:
            if writes:
                self._begin(self.folder)
                save_keras(self.best, self.folder / MODEL_FILE)

    def _keep_epoch(self, row: dict[str, float]) -> None:
        """Write the model of an epoch that is among the best, and drop who is not."""
        if self.folder is None or self.keep == 1:
            return
        best = sorted(self.history, key=rank)[-self.keep :]
        folder = self.folder / BEST_FOLDER
        names = {f"epoch_{int(r['epoch']):04d}.keras" for r in best}
        if any(kept is row for kept in best):
            model = self._model_of_epoch()
            with self.devices.writing() as writes:
                if writes:
                    folder.mkdir(exist_ok=True)
                    save_keras(model, folder / f"epoch_{int(row['epoch']):04d}.keras")
        with self.devices.writing() as writes:
            for path in folder.glob("epoch_*.keras") if writes else ():
                if path.name not in names:
                    path.unlink()

    def _model_of_epoch(self) -> keras.Model:
        trained = cast(TrainingModel, self.model)
        if self._epoch_model is None:
            self._epoch_model = plain_copy(self.best)
        copy_facts(self.best, self._epoch_model)
        with averaged_weights(trained) if self.is_averaged else nullcontext():
            write_weights(trained.model, self._epoch_model)
        return self._epoch_model

    def _begin(self, folder: Path) -> None:
        """Before the first model of a run, write what tells how to judge it."""
        if not self._has_begun:
            write_trained_pictures(folder, self.pictures)
            self._has_begun = True

    def _checkpoint(self) -> None:
        folder, devices = cast(Path, self.folder), self.devices
        is_first = self.former is not None
        target = folder / (NEW_CHECKPOINT_FOLDER if is_first else CHECKPOINT_FOLDER)
        with devices.writing():
            save_checkpoint(
                target,
                cast(keras.Model, self.model),
                position=replace(
                    self.position,
                    history=tuple(self.history),
                    accumulation_steps=self._accumulation_steps(),
                    is_over=self.is_over,
                    callbacks=self._states(),
                ),
                facts=self.facts,
                devices=devices,
            )
        if self.former is not None:
            # Now there is something in the place of the former run.
            with devices.writing() as writes:
                if writes:
                    self.former.give_way()
            self.former = None
        self._written = time.monotonic()

    def _accumulation_steps(self) -> int:
        return cast(TrainingModel, self.model).accumulation_steps

    def _states(self) -> list[Any]:
        """Return the state of the callbacks of the user at this position."""
        if self.given is None:
            return []
        amid = self.position.batch > 0
        return self.given.before_step if amid else self.given.states()

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
            f"The loss is {found} in epoch {self.position.epoch + 1}. {self._kept()} "
            "Use a lower learning_rate, a longer warm-up or a smaller "
            "gradient_clip_norm."
        )

    def _kept(self) -> str:
        """Return what is there after a run that failed."""
        if self.folder is None:
            return f"The model has the weights of its best epoch, {self.best_epoch}."
        if self.former is not None:
            return f"The former run in {str(self.folder)!r} is as it was."
        if not has_checkpoint(self.folder / CHECKPOINT_FOLDER):
            return "Nothing was written yet."
        return f"The last checkpoint, and the best model, are in {str(self.folder)!r}."


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

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss) and self.bad_loss is None:
            self.bad_loss = loss
