"""Batches from a stream of records, through tf.data on every backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.mixing import Mixing
from keras_vit.preprocessing import Preprocessing

SHUFFLE_BUFFER = 4096
_MIXING = 3  # Marks the generators of batches, apart from those of images.


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of the records that one process reads.

    Args:
        preprocessing: what each picture goes through.
        augmentation: random changes; None: an evaluation, in the order of the files.
        mixing: of whole batches, or None.
        repeats: how often an image comes in an epoch.
        weights: of each class in the loss, float32 (classes,), or None.
        seed: of order and draws.
        shard: number of this process.
        batch_size: images per batch of this process.
        num_batches: of an epoch.
        pad: whether batches are filled up to `num_batches` full ones.
        num_classes: length of labels that are probabilities.
        image_key: of a record.
        label_key: of a record.
        workers: images prepared at a time. None: as tf.data finds best.
    """

    preprocessing: Preprocessing
    augmentation: Augmentation | None
    mixing: Mixing | None
    repeats: int
    weights: np.ndarray | None
    seed: int
    shard: int
    batch_size: int
    num_batches: int
    pad: bool
    num_classes: int
    image_key: str
    label_key: str
    workers: int | None

    def dataset(self, records: Any, num_records: int) -> Any:
        """Return the batches of one epoch per iteration, as a `tf.data.Dataset`.

        Its `epoch` counts the passes; `seconds_per_batch` is the mean time until one
        more batch was ready.

        Args:
            records: `tf.data.Dataset` of (number, record).
            num_records: how many there are.
        """
        import tensorflow as tf

        results: list[Any] = []

        def one_pass() -> Iterator[Any]:
            # Built anew for each pass: the seed of a shuffle cannot be a tensor.
            epoch = int(getattr(results[0], "epoch", 0))
            make = partial(self._epoch, records, num_records, epoch)
            for number, batch in enumerate(_timed(make, results[0]), start=1):
                # With the last one: Keras asks for no more than there are.
                if number == self.num_batches and results[0].epoch == epoch:
                    results[0].epoch = epoch + 1
                yield batch

        dataset: Any = tf.data.Dataset.from_generator(
            one_pass, output_signature=self._signature()
        )
        count = tf.data.experimental.assert_cardinality(self.num_batches)
        dataset = dataset.apply(count).prefetch(tf.data.AUTOTUNE)
        results.append(dataset)
        dataset.epoch = 0
        dataset.seconds = dataset.seconds_per_batch = 0.0
        dataset.prepared = 0
        return dataset

    def _signature(self) -> tuple[Any, ...]:
        import tensorflow as tf

        size = (*self.preprocessing.image_size, self.preprocessing.channels)
        fixed = self.augmentation is not None or self.pad
        count = self.batch_size if fixed else None
        labels = tf.TensorSpec((count,), tf.int64)
        if self.mixing is not None:
            labels = tf.TensorSpec((count, self.num_classes), tf.float32)
        parts = (tf.TensorSpec((count, *size), tf.float32), labels)
        if self.pad or self.weights is not None:
            return (*parts, tf.TensorSpec((count,), tf.float32))
        return parts

    def _epoch(self, records: Any, num_records: int, epoch: int) -> Any:
        import tensorflow as tf

        training = self.augmentation is not None
        if training:
            records = records.shuffle(
                min(num_records, SHUFFLE_BUFFER),
                seed=(epoch * 1_000_003 + self.seed) % 2**31,
                reshuffle_each_iteration=False,
            )
        copies = tf.data.Dataset.range(self.repeats)
        records = records.flat_map(
            lambda number, record: copies.map(lambda copy: (number, copy, record))
        )
        images = records.map(
            lambda number, copy, record: self._image(epoch, number, copy, record),
            num_parallel_calls=self.workers or tf.data.AUTOTUNE,
        )
        if self.pad:
            missing = self.num_batches * self.batch_size - num_records
            images = images.concatenate(self._padding(missing))
        batches = images.batch(self.batch_size, drop_remainder=training or self.pad)
        batches = batches.take(self.num_batches)
        if self.mixing is None:
            return batches
        return batches.enumerate().map(
            lambda index, batch: self._mix(epoch, index, *batch)
        )

    def _image(self, epoch: Any, number: Any, copy: Any, record: Any) -> tuple:
        import tensorflow as tf

        size = (*self.preprocessing.image_size, self.preprocessing.channels)
        values = tf.numpy_function(
            self._values,
            [record[self.image_key], epoch, number, copy],
            tf.float32,
            stateful=False,
        )
        label = tf.cast(record[self.label_key], tf.int64)
        parts = (tf.ensure_shape(values, size), label)
        if self.weights is not None:
            return (*parts, tf.gather(self.weights, label))
        return (*parts, tf.ones((), tf.float32)) if self.pad else parts

    def _values(
        self, pixels: np.ndarray, epoch: Any, number: Any, copy: Any
    ) -> np.ndarray:
        preprocessing, augmentation = self.preprocessing, self.augmentation
        pixels = preprocessing.to_array(pixels)
        if augmentation is None:
            return preprocessing.normalize(preprocessing.resize_image(pixels))
        key = [self.seed, int(epoch), int(number), int(copy), self.shard]
        rng = np.random.default_rng(key)
        values = preprocessing.normalize(augmentation(pixels, preprocessing, rng))
        augmentation.erase(values, rng)
        return values

    def _padding(self, count: int) -> Any:
        import tensorflow as tf

        size = (*self.preprocessing.image_size, self.preprocessing.channels)
        empty = (tf.zeros(size), tf.zeros((), tf.int64), tf.zeros(()))
        return tf.data.Dataset.from_tensors(empty).repeat(count)

    def _mix(self, epoch: Any, index: Any, images: Any, labels: Any, *rest: Any) -> Any:
        import tensorflow as tf

        mixed = tf.numpy_function(
            self._mixed,
            [images, labels, epoch, index],
            (tf.float32, tf.float32),
            stateful=False,
        )
        rows = (self.batch_size, self.num_classes)
        return (
            tf.ensure_shape(mixed[0], images.shape),
            tf.ensure_shape(mixed[1], rows),
            *rest,
        )

    def _mixed(
        self, images: np.ndarray, labels: np.ndarray, epoch: Any, index: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        mixing = self.mixing
        if mixing is None:
            raise ValueError("There is nothing to mix with.")
        key = [self.seed, int(epoch), int(index), self.shard, _MIXING]
        rng = np.random.default_rng(key)
        size = self.preprocessing.image_size
        draw = mixing.draw(len(images), size, rng)
        images = images.copy()  # tf.data's own memory.
        return mixing.apply(images, labels, draw, num_classes=self.num_classes, rng=rng)


def _timed(make: Callable[[], Any], dataset: Any) -> Iterator[Any]:
    """Yield the batches of a pass, and tell `dataset` how long it takes to have one.

    The very first is left out: it opens files and compiles.
    """
    started = time.perf_counter()
    for batch in make():
        if dataset.prepared:
            dataset.seconds += time.perf_counter() - started
            dataset.seconds_per_batch = dataset.seconds / dataset.prepared
        dataset.prepared += 1
        yield batch
        started = time.perf_counter()
