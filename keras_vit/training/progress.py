"""What a run says about itself: images per second, time left, waiting for data."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from keras_vit.image_progress import duration

# Steps whose time says nothing: they compile, and fill the queues.
_FIRST_STEPS = 3
# Steps, or seconds if those are long, after which the time of a run is estimated and
# waiting is looked for.
_MEASURED_STEPS = 20
_MEASURED_SECONDS = 30.0
# Share of the time of a step that preparing a batch may take without a warning.
_BUSY = 0.95
_TENSORBOARD = ("tensorboard", "tensorflow")


class Progress(keras.callbacks.Callback):
    """Add `images_per_second` to the logs, estimate the time, warn of waiting.

    The figure leaves the first steps out, which compile, and what happens between the
    end of an epoch and the beginning of the next.

    Args:
        batch_size: images per step, of all devices.
        total_steps: of the run.
        verbose: whether to print the estimate.

    Attributes:
        batches: that the model is trained on; their `seconds_per_batch`, if they have
            it, shows whether the model waits for them.
    """

    # Keras calls it from threads of its own, when the results of a batch are there, so
    # that the next step need not wait.
    async_safe = True

    def __init__(
        self, batch_size: int, total_steps: int, verbose: bool = False
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

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        with self._lock:
            now = time.perf_counter()
            self.steps += 1
            if self.steps > _FIRST_STEPS:
                self.seconds += now - self._last
            self._last = now
            counted = self.steps - _FIRST_STEPS
            is_long = counted > 0 and self.seconds >= _MEASURED_SECONDS
            if self._reported or not (counted >= _MEASURED_STEPS or is_long):
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
            rate = f"{speed:.{0 if speed >= 10 else 1}f} images per second"
            print(f"\nspeed  {rate}; {duration(seconds)} in all")
        step = self.seconds / (self.steps - _FIRST_STEPS)
        wait = getattr(self.batches, "seconds_per_batch", 0.0)
        if wait > _BUSY * step:
            warnings.warn(
                f"Training waits for data: a step takes {1000 * step:.0f} ms, and the "
                f"next batch is ready after {1000 * wait:.0f} ms. Use more workers, "
                "smaller pictures on disk, or less augmentation.",
                stacklevel=2,
            )


class EpochLines(keras.callbacks.Callback):
    """Print one line for each epoch, for logs that nobody watches.

    Args:
        epochs: of the run.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.perf_counter() - self._started
        kept = {k: float(v) for k, v in (logs or {}).items()}
        speed = kept.pop("images_per_second", None)
        values = [f"{name} {value:.4f}" for name, value in kept.items()]
        if speed:
            values.append(f"{speed:.0f} images per second")
        line = ", ".join([*values, f"{seconds:.1f} s"])
        print(f"epoch {epoch + 1}/{self.epochs}: {line}", flush=True)


def is_watched() -> bool:
    """Return whether output goes to a terminal or a notebook, rather than to a log."""
    if os.environ.get("KAGGLE_KERNEL_RUN_TYPE") == "Batch":
        return False
    return sys.stdout.isatty() or "ipykernel" in sys.modules


@contextmanager
def own_line(is_bar: bool) -> Iterator[None]:
    """Begin a new line if what fails inside leaves a progress bar unfinished."""
    try:
        yield
    except BaseException:
        if is_bar:
            print(flush=True)
        raise


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


def start_summary(
    data: Any,
    model: Any,
    recipe: Any,
    devices: str,
    memory: str | None = None,
    seconds: float | None = None,
) -> str:
    """Return what is about to run: data, devices, batch, model and recipe.

    Args:
        data: `ImageData`.
        model: `TrainingModel` to be trained.
        recipe: how.
        devices: in words.
        memory: that it needs, in words. Default None: not known.
        seconds: that it takes. Default None: not known.
    """
    parts = ", ".join(f"{len(part):,} {name}" for name, part in data.parts.items())
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    count = macs_per_image(model)
    macs = f", {count:,} multiply-accumulates per image" if count else ""
    steps = getattr(model, "accumulation_steps", recipe.accumulation_steps)
    micro = f" in {steps} micro-batches" if steps > 1 else ""
    batch_size = min(recipe.batch_size, len(data.train))
    size = getattr(getattr(model, "preprocessing", None), "image_size", None)
    pixels = f", images of {size[0]} x {size[1]} pixels" if size else ""
    more = "" if memory is None else f"\nmemory {memory}"
    if seconds is not None:
        more += f"\ntime   {duration(seconds)} in all, roughly; measured once it runs"
    return (
        f"data   {data.name}: {parts}; {data.num_classes} classes; "
        f"{data.details}\n"
        f"model  {model.count_params():,} parameters, {trainable:,} trainable{macs}"
        f"{pixels}\n"
        f"run    {recipe.epochs} epochs, {batch_size:,} images per step{micro}, "
        f"{recipe.optimizer_name}, on {devices}{more}"
    )
