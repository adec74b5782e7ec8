"""What a run says about itself: images per second, time left, waiting for data."""

from __future__ import annotations

import math
import threading
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

# Steps whose time says nothing: they compile, and fill the queues.
_FIRST_STEPS = 3
# Steps after which the time of a run is estimated and waiting is looked for.
_MEASURED_STEPS = 20
# Share of the time of a step that preparing a batch may take without a warning.
_BUSY = 0.95
_TENSORBOARD = ("tensorboard", "tensorflow")


class MeasuredBatches(keras.utils.PyDataset):
    """Batches of a data set, with the time that it takes to prepare them.

    Args:
        batches: with `threads` and `epoch`.
        start: number of batches of the first epoch that are left out, because an
            earlier run has used them.
    """

    def __init__(self, batches: Any, start: int = 0) -> None:
        threads = batches.threads
        super().__init__(workers=threads, max_queue_size=2 * threads + 2)
        self.batches = batches
        self.start = start
        self.seconds = 0.0
        self.prepared = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.batches) - self.start

    def __getitem__(self, index: int) -> Any:
        started = time.perf_counter()
        batch = self.batches[index + self.start]
        with self._lock:
            self.seconds += time.perf_counter() - started
            self.prepared += 1
        return batch

    @property
    def seconds_per_batch(self) -> float:
        """Time until the workers together have prepared one more batch."""
        return self.seconds / max(1, self.prepared) / max(1, self.workers)


class Progress(keras.callbacks.Callback):
    """Add `images_per_second` to the logs, estimate the time, warn of waiting.

    The figure leaves the first steps out, which compile, and what happens between the
    end of an epoch and the beginning of the next.

    Args:
        batch_size: images per step, of all devices.
        total_steps: of the run.
        verbose: whether to print the estimate.

    Attributes:
        batches: that the model is trained on; those with `seconds_per_batch`, as
            `MeasuredBatches` and streams have it, show whether it waits for them.
    """

    # Keras calls it from threads of its own, when the results of a batch are there, so
    # that the next step need not wait.
    async_safe = True

    def __init__(
        self,
        batch_size: int,
        total_steps: int,
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.batches: Any = None
        self.total_steps = total_steps
        self.verbose = verbose
        self.steps = 0
        self.seconds = 0.0
        self._last = time.perf_counter()
        self._reported = False
        self._lock = threading.Lock()

    @property
    def images_per_second(self) -> float | None:
        """Mean since the first steps; None before."""
        counted = self.steps - _FIRST_STEPS
        return counted * self.batch_size / self.seconds if counted > 0 else None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # From here on, as the only step of an epoch would not be measured otherwise.
        self._last = time.perf_counter()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        with self._lock:
            now = time.perf_counter()
            self.steps += 1
            if self.steps > _FIRST_STEPS:
                self.seconds += now - self._last
            self._last = now
            if self.steps < _FIRST_STEPS + _MEASURED_STEPS or self._reported:
                return
            self._reported = True
        self._report()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None and self.images_per_second is not None:
            logs["images_per_second"] = self.images_per_second

    def _report(self) -> None:
        speed = self.images_per_second
        if speed and self.verbose:
            seconds = self.total_steps * self.batch_size / speed
            print(f"\nspeed  {speed:.0f} images per second; {duration(seconds)} in all")
        step = self.seconds / _MEASURED_STEPS
        wait = getattr(self.batches, "seconds_per_batch", 0.0)
        if wait > _BUSY * step:
            warnings.warn(
                f"Training waits for data: a step takes {1000 * step:.0f} ms, and the "
                f"next batch is ready after {1000 * wait:.0f} ms. Use more workers, "
                "smaller pictures on disk, or less augmentation.",
                stacklevel=2,
            )


def check_tensorboard(folder: Path | None) -> None:
    """Raise an error unless TensorBoard's logs can be written.

    Raises:
        ImportError: if TensorBoard or TensorFlow, which writes them, is missing.
        ValueError: if there is no folder to write to.
    """
    if folder is None:
        raise ValueError(
            "TensorBoard's logs go to the output folder, received output=None. Pass "
            "output, or tensorboard=False."
        )
    missing = [name for name in _TENSORBOARD if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{' and '.join(missing)} is needed for TensorBoard's logs. Install it "
            "with pip install 'keras3-vit[tensorboard]', or leave tensorboard out; "
            "history.csv and curves.png are written in any case."
        )


def duration(seconds: float) -> str:
    """Return a length of time in words, such as "about 12 min"."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def macs_per_image(model: keras.Model) -> int | None:
    """Return the multiply-accumulates for an image of the size of inference.

    None if the model does not say what it is made of, or takes any size and has no
    preprocessing.
    """
    config: Any = getattr(model, "config", None)
    preprocessing: Any = getattr(model, "preprocessing", None)
    if config is None or (config.image_size is None and preprocessing is None):
        return None
    if config.image_size is None:
        config = config.changed(image_size=preprocessing.image_size)
    return config.macs


def start_summary(data: Any, model: keras.Model, recipe: Any, devices: str) -> str:
    """Return what is about to run: data, devices, batch, model and recipe.

    Args:
        data: `ImageData`.
        model: to be trained.
        recipe: how.
        devices: in words.
    """
    parts = ", ".join(f"{len(part):,} {name}" for name, part in data.parts.items())
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    count = macs_per_image(model)
    macs = f", {count:,} multiply-accumulates per image" if count else ""
    steps = recipe.accumulation_steps
    micro = f" in {steps} micro-batches" if steps > 1 else ""
    batch_size = min(recipe.batch_size, len(data.train))
    return (
        f"data   {data.name}: {parts}; {data.num_classes} classes\n"
        f"model  {model.count_params():,} parameters, {trainable:,} trainable{macs}\n"
        f"run    {recipe.epochs} epochs, {batch_size:,} images per step{micro}, "
        f"{recipe.optimizer_name}, on {devices}"
    )
