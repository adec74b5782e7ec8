"""The same batches through tf.data, grain or a torch DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from keras_vit.data.batches import Batch, ImageBatches
from keras_vit.data.checks import check_value

Engine = Literal["threads", "tf.data", "grain", "torch"]


def check_engine(engine: str) -> None:
    """Raise a ValueError if there is no such engine."""
    valid = list(get_args(Engine))
    check_value(engine in valid, "engine", engine, f"one of {valid}")


def to_engine(batches: ImageBatches, engine: Engine = "threads") -> Any:
    """Return what `model.fit` takes: the batches themselves, or another engine's set.

    Args:
        batches: from `Images.batches`. Its `epoch` and `start_batch` decide what a
            pass gives, whatever the engine; a finished pass counts `epoch` up, but for
            grain, which reads by number: see `to_grain` for several epochs.
        engine: "threads" (default), "tf.data", "grain" or "torch".

    Raises:
        ImportError: if the library of the engine is not installed.
        ValueError: if there is no such engine.
    """
    check_engine(engine)
    convert = {"tf.data": to_tf_data, "grain": to_grain, "torch": to_torch}.get(engine)
    return batches if convert is None else convert(batches)


def to_tf_data(batches: ImageBatches) -> Any:
    """Return a `tf.data.Dataset` that gives the batches, on every backend.

    Threads of tf.data prepare `batches.threads` of them at a time. Each iteration is
    one pass: it starts at `batches.epoch` and `batches.start_batch`, as they are then.
    """
    tf = _import("tensorflow", "tf.data", "tensorflow")

    # Not `Dataset.from_generator`: with it, TensorFlow 2.21 makes malloc give memory
    # back at once (M_TRIM_THRESHOLD), and every image of the process takes longer.
    def begin() -> tuple[np.ndarray, ...]:
        values = batches.epoch, batches.start_batch, batches.batches_per_epoch
        return tuple(np.array(value, np.int64) for value in values)

    def end(epoch: np.ndarray, index: np.ndarray) -> np.ndarray:
        if index == batches.batches_per_epoch - 1 and batches.epoch == epoch:
            batches.end_epoch()
        return np.array(True)

    def numbers(_: Any) -> Any:
        epoch, start, stop = tf.numpy_function(begin, [], [tf.int64] * 3)
        return tf.data.Dataset.range(start, stop).map(lambda index: (epoch, index))

    shapes, dtypes = zip(*batches.specs, strict=True)

    def batch(epoch: np.ndarray, index: np.ndarray) -> Batch:
        return batches.batch(int(epoch), int(index))

    def make(epoch: Any, index: Any) -> tuple[Any, ...]:
        parts = tf.numpy_function(batch, [epoch, index], dtypes, stateful=False)
        return epoch, index, *parts

    def give(epoch: Any, index: Any, *parts: Any) -> tuple[Any, ...]:
        # Behind the prefetching, so that a pass ends when its last batch is taken, and
        # not when it is made, or maybe never, as Keras asks for no more.
        with tf.control_dependencies([tf.numpy_function(end, [epoch, index], bool)]):
            return tuple(map(tf.ensure_shape, parts, shapes))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(numbers)
    dataset = dataset.map(make, num_parallel_calls=batches.threads, deterministic=True)
    if not batches.start_batch:
        count = tf.data.experimental.assert_cardinality(batches.batches_per_epoch)
        dataset = dataset.apply(count)
    return dataset.prefetch(2).map(give)


def to_grain(batches: ImageBatches, *, num_epochs: int = 1) -> Any:
    """Return a `grain.MapDataset` that gives the batches, without TensorFlow.

    Each element is a batch, so that any of them can be had by number. For a position
    that can be saved, iterate yourself: `iterator.get_state()` and `set_state` of
    `iter(dataset.to_iter_dataset())`, over as many epochs as `num_epochs`. Keras 3.15
    does not read its length: give `fit` all epochs as one data set and
    `steps_per_epoch=batches.batches_per_epoch`, or it warns that the data ran out.

    Args:
        batches: from `Images.batches`.
        num_epochs: passes in one data set. Default 1: the pass that `batches.epoch`
            names when a batch is read, which stays the same until you set it.
            Otherwise from that of now on.
    """
    grain = _import("grain", "grain", "grain")
    return grain.MapDataset.source(_GrainSource(batches, num_epochs))


class _GrainSource:
    """Random access to batches: what grain takes as a source."""

    def __init__(self, batches: ImageBatches, num_epochs: int) -> None:
        self.batches = batches
        self.num_epochs = num_epochs
        self.first = batches.epoch

    def __len__(self) -> int:
        batches = self.batches
        return self.num_epochs * batches.batches_per_epoch - batches.start_batch

    def __getitem__(self, number: Any) -> Batch:
        batches = self.batches
        if self.num_epochs == 1:
            return batches[int(number)]
        number = int(number) + batches.start_batch
        epoch, index = divmod(number, batches.batches_per_epoch)
        return batches.batch(self.first + epoch, index)

    def __repr__(self) -> str:
        return f"batches of {len(self.batches.images)} images"


def to_torch(batches: ImageBatches, *, workers: int = 0) -> Any:
    """Return a `torch.utils.data.DataLoader` that gives the batches as tensors.

    Args:
        batches: from `Images.batches`.
        workers: processes. Default 0: the caller's thread. Each gets the set as it is
            when an iteration starts; they are forked, which JAX and TensorFlow do not
            survive in every case, so that threads are the safe choice there.
    """
    data = _import("torch.utils.data", "torch", "torch")

    class DataLoader(data.DataLoader):
        def __iter__(self) -> Iterator[Any]:
            left = len(batches)
            for batch in super().__iter__():
                left -= 1
                # Before it is given away: Keras asks for no more than there are.
                if left == 0:
                    batches.end_epoch()
                yield batch

    return DataLoader(
        _TorchDataset(batches), batch_size=None, shuffle=False, num_workers=workers
    )


class _TorchDataset:
    """Random access to batches: what a DataLoader takes."""

    def __init__(self, batches: ImageBatches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.batches[index]


def _import(module: str, engine: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"engine={engine!r} needs {module.split('.')[0]}. Install it with "
            f"pip install 'keras3-vit[{extra}]'."
        ) from error
