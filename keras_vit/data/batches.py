"""Batches of a labelled set of images, for `model.fit` and every input engine."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_vit.data.batch_options import BatchOptions
from keras_vit.data.cache import NoCache, open_cache
from keras_vit.data.prefetching import PrefetchedBatches, made_ahead, spare_cores
from keras_vit.data.sampling import Sampler, batch_generator, image_generator

if TYPE_CHECKING:
    from keras_vit.data.images import Images

Batch = tuple[np.ndarray, ...]

# Keras 3.15 builds loss and metrics of a new model from a batch that it takes in a pass
# of its own, which it then breaks off. JAX looks one batch ahead and takes two.
_LOOKED_AT = 2


class ImageBatches(keras.utils.PyDataset):
    """Batches of preprocessed images, made by threads while the model computes.

    Each batch is (images, labels): float32 (B, H, W, C) and int64 (B,), or float32
    (B, classes) where `mixing` mixed them or an image may have several labels; with
    weights, float32 (B,), as a third part where some images count less. Everything
    follows from `seed`, `epoch` and the image alone, so that the same epoch is the same
    on each backend, in each engine and after a restart. In `fit`, `shuffle=True`
    therefore changes nothing.

    Args:
        images: what batches are made of.
        options: how; the batch size is at most the number of images.

    Attributes:
        threads: that make batches ahead. For Keras there is one worker, this set
            itself: with more, Keras 3.15 on JAX and torch takes some batches of the
            first pass twice and others not at all.
        epoch: counts the passes, from 0, and may be set before one.
        start_batch: first batch of the next pass, to go on in the middle of an epoch;
            0 after it. `len` says how many are left, which Keras reads once per `fit`.
    """

    def __init__(self, images: Images, options: BatchOptions) -> None:
        super().__init__(workers=1)
        if options.training:
            options = _cut_to(len(images), options)
        self.images = images
        self.options = options
        workers = options.workers
        self.threads = max(1, spare_cores() if workers is None else workers)
        self.sampler = Sampler(len(images), options, images.labels)
        self.epoch = 0
        self.start_batch = 0
        if images.is_multi_label and options.class_balance is not None:
            raise ValueError(
                "class_balance is for images of one label each, received "
                f"class_balance={options.class_balance!r} for images of several. Leave "
                "it out, or use a loss that balances yes and no."
            )
        self._check_pairs()
        images.check_values(options.preprocessing)
        self._cache = open_cache(images, options)
        self._pass: PrefetchedBatches | None = None
        self._was_looked_at = False
        self._seconds: deque[float] = deque(maxlen=100)  # of the last batches
        # A row of pixels as one pixel of many channels: the same numbers, and NumPy's
        # loops are as long as a row instead of three.
        preprocessing = options.preprocessing
        width = preprocessing.image_size[1]
        self._rows = replace(
            preprocessing,
            channels=width * preprocessing.channels,
            mean=preprocessing.mean * width,
            std=preprocessing.std * width,
        )

    @property
    def has_weights(self) -> bool:
        """Whether batches say how much each image counts in the loss."""
        has_own = self.options.training and self.images.all_weights is not None
        return self.options.has_weights or has_own

    @property
    def specs(self) -> list[tuple[tuple[int | None, ...], str]]:
        """Shape and type of each part of a batch of this process."""
        specs = self.options.batch_specs(
            self.sampler.local_batch_size, self.images.num_classes, self.has_weights
        )
        if self.images.is_multi_label:
            specs[1] = ((specs[1][0][0], self.images.num_classes), "float32")
        return specs

    @property
    def batches_per_epoch(self) -> int:
        """Batches of a whole epoch, wherever the next pass starts."""
        return len(self.sampler)

    @property
    def seconds_per_batch(self) -> float:
        """Mean time until one more batch of a pass is made; 0 before.

        The threads begin a pass together and each makes a batch in about the same
        time, so that the last of them have nothing to do if they do not divide it.
        """
        seconds = tuple(self._seconds)
        rounds = math.ceil(self.batches_per_epoch / self.threads)
        mean = sum(seconds) / max(1, len(seconds))
        return mean * rounds / self.batches_per_epoch

    def __len__(self) -> int:
        return self.batches_per_epoch - self.start_batch

    def __getitem__(self, index: int) -> Batch:
        if self._pass is not None:
            # Keras asks for each batch once and shuffles the numbers by default, which
            # would leave nothing to make ahead. The images are shuffled already.
            return self._pass.take()
        return self.batch(self.epoch, self.start_batch + index)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass, made ahead by threads, then end the epoch."""
        make = partial(self._timed_batch, self.epoch)
        yield from made_ahead(make, self._numbers_left(), self.threads)
        self.end_epoch()

    def on_epoch_begin(self) -> None:
        """Begin a pass; Keras calls it."""
        make = partial(self._timed_batch, self.epoch)
        self._pass = PrefetchedBatches(make, self._numbers_left(), self.threads)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch if there was a pass; Keras calls it.

        It does so before the first pass, too, and after the look at the first batch.
        """
        ended, self._pass = self._pass, None
        if ended is None:
            return
        ended.close()
        is_whole = ended.is_finished or ended.taken > _LOOKED_AT
        if is_whole or self._was_looked_at:  # It looks no second time.
            self.end_epoch()
        self._was_looked_at = True

    def end_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.start_batch = 0

    def batch(self, epoch: int, index: int) -> Batch:
        """Return batch `index` of an epoch, or the part that this process has of it."""
        slots = self.sampler.slots(epoch, index)
        images = np.zeros((len(slots.positions), *self.options.image_shape), "float32")
        numbers = self.images.indices[slots.positions]
        for i in np.flatnonzero(slots.weights):
            self._fill(images[i], epoch, int(numbers[i]), int(slots.repeats[i]))
        labels = self.images.all_labels[numbers]
        labels[slots.weights == 0] = 0
        if self.options.mixing is not None:
            images, labels = self._mix(images, labels, epoch, index)
        if not self.has_weights:
            return images, labels
        own = self.images.all_weights if self.options.training else None
        weights = slots.weights if own is None else slots.weights * own[numbers]
        return images, labels, weights

    def _numbers_left(self) -> range:
        return range(self.start_batch, self.batches_per_epoch)

    def _timed_batch(self, epoch: int, index: int) -> Batch:
        started = time.perf_counter()
        batch = self.batch(epoch, index)
        self._seconds.append(time.perf_counter() - started)
        return batch

    def _fill(self, out: np.ndarray, epoch: int, number: int, repeat: int) -> None:
        """Write one image, ready for the model, to `out`, float32 (H, W, C)."""
        augmentation = self.options.augmentation
        if augmentation is None:
            self._normalize(self._resized(number), out)
            return
        rng = image_generator(self.options.seed, epoch, number, repeat)
        self._normalize(self._augmented(number, rng), out)
        augmentation.erase(out, rng)

    def _normalize(self, pixels: np.ndarray, out: np.ndarray) -> None:
        height, width, channels = pixels.shape
        rows = self._rows.normalize(pixels.reshape(height, width * channels))
        out[:] = rows.reshape(out.shape)

    def _augmented(self, number: int, rng: np.random.Generator) -> np.ndarray:
        augmentation: Any = self.options.augmentation
        preprocessing = self.options.preprocessing
        if not augmentation.crops:
            return augmentation.distort(self._resized(number), rng, preprocessing)
        if isinstance(self._cache, NoCache):
            return augmentation.of_file(self.images.read(number), preprocessing, rng)
        return augmentation(self._cache.get(number, self._read), preprocessing, rng)

    def _resized(self, number: int) -> np.ndarray:
        resize = self.options.preprocessing.resize_image
        return self._cache.get(number, lambda number: resize(self._read(number)))

    def _read(self, number: int) -> np.ndarray:
        return self.options.preprocessing.to_array(self.images.read(number))

    def _mix(
        self, images: np.ndarray, labels: np.ndarray, epoch: int, index: int
    ) -> Batch:
        mixing: Any = self.options.mixing
        rng = batch_generator(self.options.seed, epoch, index)
        # Drawn for the whole batch, so that it is the same however many share it.
        size = self.options.batch_size
        draw = mixing.draw(size, self.options.preprocessing.image_size, rng)
        mine = draw.part(self.sampler.local_slice(size))
        count = self.images.num_classes
        return mixing.apply(images, labels, mine, num_classes=count, rng=rng)

    def _check_pairs(self) -> None:
        local, processes = self.sampler.local_batch_size, self.options.shard[1]
        if self.options.mixing is not None and local % 2 and processes > 1:
            raise ValueError(
                "Mixing pairs neighbouring images: each process must have an even "
                f"number of a batch, received {local} of batch_size="
                f"{self.options.batch_size} for {processes} processes."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": None}  # Another process begins its own.


def _cut_to(num_images: int, options: BatchOptions) -> BatchOptions:
    """Return options whose batch is no larger than the set."""
    processes = options.shard[1]
    if options.batch_size <= num_images:
        return options
    if num_images < processes:
        raise ValueError(
            f"Each of {processes} processes needs an image, received a set of "
            f"{num_images}. Use fewer processes."
        )
    return replace(options, batch_size=num_images // processes * processes)
