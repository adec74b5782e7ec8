"""Batches from a stream of records, through tf.data on every backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from keras_vit.data.batch_options import BatchOptions

SHUFFLE_BUFFER = 4096
_MIXING = 3  # Marks the generators of batches, apart from those of images.


@dataclass(frozen=True, kw_only=True)
class StreamBatches:
    """The batches that one process makes of the records that it reads.

    Args:
        options: how batches are made.
        batch_size: images per batch of this process.
        num_batches: of an epoch.
        class_weights: of each class in the loss, float32 (classes,), or None.
        num_classes: length of labels that are probabilities.
        image_key: of the picture in a record.
        label_key: of the label in a record.
    """

    options: BatchOptions
    batch_size: int
    num_batches: int
    class_weights: np.ndarray | None
    num_classes: int
    image_key: str
    label_key: str

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

        def passes() -> Iterator[Any]:
            # Built anew for each pass: the seed of a shuffle cannot be a tensor.
            epoch = int(getattr(results[0], "epoch", 0))
            make = partial(self._epoch, records, num_records, epoch)
            for number, batch in enumerate(_timed(make, results[0]), start=1):
                # With the last one: Keras asks for no more than there are.
                if number == self.num_batches and results[0].epoch == epoch:
                    results[0].epoch = epoch + 1
                yield batch

        specs = self.options.batch_specs(self.batch_size, self.num_classes)
        signature = tuple(tf.TensorSpec(*spec) for spec in specs)
        dataset: Any = tf.data.Dataset.from_generator(
            passes, output_signature=signature
        )
        count = tf.data.experimental.assert_cardinality(self.num_batches)
        dataset = dataset.apply(count).prefetch(tf.data.AUTOTUNE)
        results.append(dataset)
        dataset.epoch = 0
        dataset.seconds = dataset.seconds_per_batch = 0.0
        dataset.prepared = 0
        return dataset

    def _epoch(self, records: Any, num_records: int, epoch: int) -> Any:
        import tensorflow as tf

        options = self.options
        if options.training:
            records = records.shuffle(
                min(num_records, SHUFFLE_BUFFER),
                seed=(epoch * 1_000_003 + options.seed) % 2**31,
                reshuffle_each_iteration=False,
            )
        copies = tf.data.Dataset.range(options.repeated_augmentation)
        records = records.flat_map(
            lambda number, record: copies.map(lambda copy: (number, copy, record))
        )
        images = records.map(
            lambda number, copy, record: self._image(epoch, number, copy, record),
            num_parallel_calls=options.workers or tf.data.AUTOTUNE,
        )
        if options.pad:
            missing = self.num_batches * self.batch_size - num_records
            images = images.concatenate(self._padding(missing))
        has_full_batches = options.training or options.pad
        batches = images.batch(self.batch_size, drop_remainder=has_full_batches)
        batches = batches.take(self.num_batches)
        if options.mixing is None:
            return batches
        return batches.enumerate().map(
            lambda index, batch: self._mix(epoch, index, *batch)
        )

    def _image(self, epoch: Any, number: Any, copy: Any, record: Any) -> tuple:
        import tensorflow as tf

        inputs = [record[self.image_key], epoch, number, copy]
        values = tf.numpy_function(self._values, inputs, tf.float32, stateful=False)
        label = tf.cast(record[self.label_key], tf.int64)
        parts = (tf.ensure_shape(values, self.options.image_shape), label)
        if self.class_weights is not None:
            return (*parts, tf.gather(self.class_weights, label))
        return (*parts, tf.ones((), tf.float32)) if self.options.pad else parts

    def _values(
        self, pixels: np.ndarray, epoch: Any, number: Any, copy: Any
    ) -> np.ndarray:
        options = self.options
        if options.augmentation is None:
            return options.preprocessing(pixels)
        key = [options.seed, int(epoch), int(number), int(copy), options.shard[0]]
        rng = np.random.default_rng(key)
        return options.augmentation.values(pixels, options.preprocessing, rng)

    def _padding(self, count: int) -> Any:
        import tensorflow as tf

        image, label = tf.zeros(self.options.image_shape), tf.zeros((), tf.int64)
        empty = image, label, tf.zeros(())
        return tf.data.Dataset.from_tensors(empty).repeat(count)

    def _mix(self, epoch: Any, index: Any, images: Any, labels: Any, *rest: Any) -> Any:
        import tensorflow as tf

        inputs, types = [images, labels, epoch, index], (tf.float32, tf.float32)
        mixed = tf.numpy_function(self._mixed, inputs, types, stateful=False)
        shapes = images.shape, (self.batch_size, self.num_classes)
        return *map(tf.ensure_shape, mixed, shapes), *rest

    def _mixed(
        self, images: np.ndarray, labels: np.ndarray, epoch: Any, index: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        options = self.options
        mixing: Any = options.mixing
        key = [options.seed, int(epoch), int(index), options.shard[0], _MIXING]
        rng = np.random.default_rng(key)
        images = images.copy()  # tf.data's own memory.
        return mixing(images, labels, num_classes=self.num_classes, rng=rng)


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
