"""Batches of a labelled set of images, for `model.fit` and every input engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.cache import CACHE_BYTES, Cache, DiskCache, MemoryCache, NoCache
from keras_vit.data.mixing import Mixing
from keras_vit.data.one_pass import Pass
from keras_vit.data.sampling import ClassBalance, Sampler, check_sampling
from keras_vit.preprocessing import Preprocessing

Batch = tuple[np.ndarray, ...]

# Batches that Keras 3.15 takes to build metrics and loss, in a pass of its own that it
# then breaks off; JAX's look-ahead makes it two.
_PEEKED = 2


class LabelledImages(Protocol):
    """What batches are made of; `Images` is one."""

    @property
    def all_labels(self) -> np.ndarray: ...
    @property
    def indices(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def read(self) -> Callable[[int], Any]: ...
    def __len__(self) -> int: ...


class ImageBatches(keras.utils.PyDataset):
    """Batches of preprocessed images, made by threads while the model computes.

    Each batch is (images, labels): float32 (B, H, W, C) and int64 (B,), or
    probabilities float32 (B, classes) where `mixing` mixed them; with weights, float32
    (B,), as a third part where some images count less. Everything follows from `seed`,
    `epoch` and the image alone, so that the same epoch is the same on each backend, in
    each engine and after a restart. In `fit`, `shuffle=True` therefore changes nothing.
    The arguments are those of `Images.batches`.

    Attributes:
        threads: that make batches ahead. For Keras there is one worker, this set
            itself: with more, Keras 3.15 on JAX and torch takes some batches of the
            first pass twice and others not at all.
        epoch: counts the passes, from 0, and may be set before one.
        start_batch: first batch of the next pass, to go on in the middle of an epoch;
            0 after it. `len` says how many are left, which Keras reads once per `fit`.
    """

    def __init__(
        self,
        images: LabelledImages,
        preprocessing: Preprocessing,
        batch_size: int,
        *,
        training: bool = False,
        augmentation: Augmentation | None = None,
        mixing: Mixing | None = None,
        repeated_augmentation: int = 1,
        class_balance: ClassBalance | None = None,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
        pad: bool = False,
        cache: bool | str | Path | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__(workers=1)
        self.threads = max(1, _spare_cores() if workers is None else workers)
        self.images = images
        self.preprocessing = preprocessing
        self.augmentation = (augmentation or Augmentation()) if training else None
        self.mixing = mixing if training else None
        self.epoch = 0
        self.start_batch = 0
        self._pass: Pass | None = None
        self._has_peeked = False
        self._has_given_last = False
        # Before it is cut to a small set: what the user gave must be right.
        check_sampling(batch_size, shard, repeated_augmentation, class_balance)
        if training:
            batch_size = _at_most(batch_size, len(images), shard[1])
        self.sampler = Sampler(
            num_images=len(images),
            labels=images.labels,
            batch_size=batch_size,
            training=training,
            seed=seed,
            repeated_augmentation=repeated_augmentation,
            class_balance=class_balance,
            shard=shard,
            pad=(pad or shard[1] > 1) and not training,
        )
        # A row of pixels as one pixel of many channels: the same numbers, and NumPy's
        # loops are as long as a row instead of three.
        width = preprocessing.image_size[1]
        self._rows = replace(
            preprocessing,
            channels=width * preprocessing.channels,
            mean=preprocessing.mean * width,
            std=preprocessing.std * width,
        )
        self._check()
        self._cache = self._open_cache(cache)

    @property
    def batch_size(self) -> int:
        """Images per batch, of all processes together."""
        return self.sampler.batch_size

    @property
    def training(self) -> bool:
        """Whether batches are shuffled and augmented."""
        return self.sampler.training

    @property
    def batches_per_epoch(self) -> int:
        """Batches of a whole epoch, wherever the next pass starts."""
        return len(self.sampler)

    def __len__(self) -> int:
        return self.batches_per_epoch - self.start_batch

    def __getitem__(self, index: int) -> Batch:
        if self._pass is not None:
            # Keras asks for each batch once and shuffles the numbers by default, which
            # would leave nothing to make ahead. The images are shuffled already.
            return self._pass.take()
        self._has_given_last = index == len(self) - 1
        return self.batch(self.epoch, self.start_batch + index)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one pass, made ahead by threads, then end the epoch."""
        made = self._new_pass()
        try:
            while not made.is_finished:
                yield made.take()
        finally:
            made.close()
        self.end_epoch()

    def on_epoch_begin(self) -> None:
        """Begin a pass; Keras calls it."""
        self._pass = self._new_pass()

    def on_epoch_end(self) -> None:
        """Go on to the next epoch if there was a pass; Keras calls it.

        It does so before the first pass, too, and after a look at the first batch.
        """
        made, self._pass = self._pass, None
        if made is None:
            is_over = self._has_given_last
        else:
            made.close()
            is_over = made.is_finished or made.taken > _PEEKED or self._has_peeked
            self._has_peeked = True
        if is_over:
            self.end_epoch()

    def end_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.start_batch = 0
        self._has_given_last = False

    def _new_pass(self) -> Pass:
        make = partial(self.batch, self.epoch)
        return Pass(make, range(self.start_batch, self.batches_per_epoch), self.threads)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": None}  # Another process begins its own.

    def batch(self, epoch: int, index: int) -> Batch:
        """Return batch `index` of an epoch, or the part that this process has of it."""
        slots = self.sampler.slots(epoch, index)
        count = len(slots.positions)
        size = (*self.preprocessing.image_size, self.preprocessing.channels)
        images = np.zeros((count, *size), "float32")
        numbers = self.images.indices[slots.positions]
        for i in np.flatnonzero(slots.weights):
            self._fill(images[i], epoch, int(numbers[i]), int(slots.repeats[i]))
        labels = np.where(slots.weights > 0, self.images.all_labels[numbers], 0)
        if self.mixing is not None:
            images, labels = self._mix(self.mixing, images, labels, epoch, index)
        if self.sampler.has_weights:
            return images, labels, slots.weights
        return images, labels

    def _fill(self, out: np.ndarray, epoch: int, number: int, repeat: int) -> None:
        """Write one image, ready for the model, to `out`, float32 (H, W, C)."""
        rng = self.sampler.image_generator(epoch, number, repeat)
        if self.augmentation is None:
            self._normalize(self._resized(number), out)
            return
        self._normalize(self._augmented(number, rng), out)
        self.augmentation.erase(out, rng)

    def _normalize(self, pixels: np.ndarray, out: np.ndarray) -> None:
        height, width, channels = pixels.shape
        rows = self._rows.normalize(pixels.reshape(height, width * channels))
        out[:] = rows.reshape(out.shape)

    def _augmented(self, number: int, rng: np.random.Generator) -> np.ndarray:
        augmentation, preprocessing = self.augmentation, self.preprocessing
        if augmentation is None or not augmentation.crops:
            resized = self._resized(number)
            return (augmentation or Augmentation()).distort(resized, rng, preprocessing)
        if isinstance(self._cache, NoCache):
            return augmentation.of_file(self.images.read(number), preprocessing, rng)
        return augmentation(self._cache.get(number, self._read), preprocessing, rng)

    def _resized(self, number: int) -> np.ndarray:
        return self._cache.get(
            number, lambda number: self.preprocessing.resize_image(self._read(number))
        )

    def _read(self, number: int) -> np.ndarray:
        return self.preprocessing.to_array(self.images.read(number))

    def _mix(
        self,
        mixing: Mixing,
        images: np.ndarray,
        labels: np.ndarray,
        epoch: int,
        index: int,
    ) -> Batch:
        rng = self.sampler.batch_generator(epoch, index)
        size = self.preprocessing.image_size
        draw = mixing.draw(self.batch_size, size, rng)
        mine = self.sampler.local_slice(self.batch_size)
        return mixing.apply(
            images,
            labels,
            draw.part(mine),
            num_classes=self.images.num_classes,
            rng=rng,
        )

    def _check(self) -> None:
        """Raise an error if options do not fit each other."""
        if self.augmentation is not None:
            self.augmentation.check(self.preprocessing)
        if self.mixing is None:
            return
        self.mixing.check()
        local = self.sampler.local_batch_size
        if local % 2 and self.sampler.shard[1] > 1:
            raise ValueError(
                "Mixing pairs neighbouring images: each process must have an even "
                f"number of a batch, received {local} of batch_size={self.batch_size} "
                f"for {self.sampler.shard[1]} processes."
            )

    def _open_cache(self, cache: bool | str | Path | None) -> Cache:
        crops = self.augmentation is not None and self.augmentation.crops
        if isinstance(cache, (str, Path)):
            kind = "whole" if crops else "resized"
            identity = f"{kind} {self.images.fingerprint} {self.preprocessing}"
            return DiskCache(cache, identity)
        if cache is None:
            height, width = self.preprocessing.image_size
            size = len(self.images) * height * width * self.preprocessing.channels
            cache = size <= CACHE_BYTES
        return MemoryCache() if cache and not crops else NoCache()


def _spare_cores() -> int:
    # Keras 3.15 starts no thread for the single worker of `MeasuredBatches`.
    return max(2, min(8, (os.cpu_count() or 1) - 1))


def _at_most(batch_size: int, num_images: int, num_processes: int) -> int:
    """Return the batch size for a set that may be smaller than a batch."""
    if batch_size <= num_images:
        return batch_size
    if num_images < num_processes:
        raise ValueError(
            f"Each of {num_processes} processes needs an image, received a set of "
            f"{num_images}. Use fewer processes."
        )
    return num_images // num_processes * num_processes
