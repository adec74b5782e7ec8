"""A labelled set of images with random access, and its batches for `model.fit`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from keras_vit.data.augmentation import Augmentation
from keras_vit.preprocessing import Preprocessing

CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Images:
    """Labelled images that can be read one by one, in any order.

    Args:
        read: from a number in `indices` to the picture: anything that
            `Preprocessing` takes.
        labels: class of each picture that `read` knows, int64.
        indices: which pictures belong to this set, int64. Default: all.
        identity: what tells these pictures from others with the same labels, such as
            the names of the files.
    """

    read: Callable[[int], Any]
    all_labels: np.ndarray
    indices: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]
    identity: str = ""

    def __post_init__(self) -> None:
        if self.indices is None:
            object.__setattr__(self, "indices", np.arange(len(self.all_labels)))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def fingerprint(self) -> str:
        """A short hash of which images these are, for comparing runs."""
        digest = hashlib.sha256(self.indices.tobytes())
        digest.update(self.all_labels.tobytes())
        digest.update(self.identity.encode())
        return digest.hexdigest()[:16]

    @property
    def labels(self) -> np.ndarray:
        """Class of each image, int64 (len(self),)."""
        return self.all_labels[self.indices]

    def subset(self, indices: np.ndarray) -> Images:
        """Return the images with these numbers."""
        return replace(self, indices=indices)

    def pictures(self) -> Iterator[Any]:
        """Yield each picture as it was given, in the order of `labels`."""
        return (self.read(int(index)) for index in self.indices)

    def samples(self, count: int) -> list[Any]:
        """Return `count` pictures as they were given, spread over the set."""
        chosen = np.linspace(0, len(self) - 1, min(count, len(self))).astype(int)
        return [self.read(int(self.indices[i])) for i in chosen]

    def batches(
        self,
        preprocessing: Preprocessing,
        batch_size: int = 64,
        *,
        training: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        workers: int | None = None,
    ) -> ImageBatches:
        """Return batches (images, labels) for `fit`, `evaluate` and `predict`.

        Args:
            preprocessing: what each picture goes through.
            batch_size: images per batch, at least 1.
            training: whether to shuffle, augment and drop an incomplete last batch.
                A set smaller than one batch is one batch.
            augmentation: random changes while training. Default None.
            seed: of order and augmentation.
            workers: threads that prepare batches ahead. Default: one per core but one,
                which the model has for itself; at least 1, at most 8.
        """
        check_batch_size(batch_size)
        return ImageBatches(
            self,
            preprocessing,
            batch_size,
            training=training,
            augmentation=augmentation or Augmentation(),
            seed=seed,
            workers=_spare_cores() if workers is None else workers,
        )


class ImageBatches(keras.utils.PyDataset):
    """Batches of preprocessed images, made by threads while the model computes.

    Each batch is (images, labels): float32 (B, H, W, C) and int64 (B,). Order and
    augmentation follow from `seed`, `epoch` and the image alone, so that the same epoch
    is the same on each backend and after a restart. `epoch` counts the passes and may
    be set.
    """

    def __init__(
        self,
        images: Images,
        preprocessing: Preprocessing,
        batch_size: int,
        *,
        training: bool,
        augmentation: Augmentation,
        seed: int,
        workers: int,
    ) -> None:
        super().__init__(workers=workers, max_queue_size=2 * workers + 2)
        self.images = images
        self.preprocessing = preprocessing
        self.batch_size = min(batch_size, len(images)) if training else batch_size
        self.training = training
        self.augmentation = augmentation
        self.seed = seed
        self.epoch = 0
        self._resized: dict[int, np.ndarray] = {}
        size = np.prod((len(images), *preprocessing.image_size, preprocessing.channels))
        self._cached = size <= CACHE_BYTES

    def __len__(self) -> int:
        full, rest = divmod(len(self.images), self.batch_size)
        return full + (1 if rest and not self.training else 0)

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        order = self._order(self.epoch)
        numbers = order[index * self.batch_size : (index + 1) * self.batch_size]
        pixels = [self._picture(int(number)) for number in numbers]
        images = self.preprocessing.normalize(np.stack(pixels))
        return images, self.images.all_labels[numbers]

    def _order(self, epoch: int) -> np.ndarray:
        if not self.training:
            return self.images.indices
        return np.random.default_rng([self.seed, epoch]).permutation(
            self.images.indices
        )

    def _picture(self, number: int) -> np.ndarray:
        if not self.training:
            return self._resized_picture(number)
        rng = np.random.default_rng([self.seed, self.epoch, number])
        if self.augmentation.crop_area is None:
            pixels = self._resized_picture(number)
        else:
            pixels = self.augmentation.crop(self._read(number), self.preprocessing, rng)
        return self.augmentation.distort(pixels, rng)

    def _resized_picture(self, number: int) -> np.ndarray:
        pixels = self._resized.get(number)
        if pixels is None:
            pixels = self.preprocessing.resize_image(self._read(number))
            if self._cached:
                self._resized[number] = pixels
        return pixels

    def _read(self, number: int) -> np.ndarray:
        return self.preprocessing.to_array(self.images.read(number))


def _spare_cores() -> int:
    return max(1, min(8, (os.cpu_count() or 1) - 1))


def check_batch_size(batch_size: int) -> None:
    """Raise a ValueError if a batch would have no image."""
    if batch_size < 1:
        raise ValueError(
            f"batch_size must be at least 1, received batch_size={batch_size}."
        )


def check_labels(labels: Any, num_images: int, num_classes: int | None) -> np.ndarray:
    """Return labels as int64, one for each image, from 0 to num_classes - 1.

    Raises:
        ValueError: if they are something else; the message says what.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "Labels must be whole numbers of shape (number of images,), received shape "
            f"{labels.shape} and dtype {labels.dtype}. Use labels.argmax(-1) for "
            "one-hot labels."
        )
    if len(labels) != num_images:
        raise ValueError(
            f"There must be one label per image, received {len(labels)} labels and "
            f"{num_images} images."
        )
    highest = int(labels.max(initial=0)) if num_classes is None else num_classes - 1
    wrong = np.flatnonzero((labels < 0) | (labels > highest))
    if len(wrong):
        raise ValueError(
            f"Labels must be from 0 to {highest}, received {int(labels[wrong[0]])} at "
            f"index {int(wrong[0])} ({len(wrong)} labels out of range). Number the "
            "classes from 0, and pass one class name per class."
        )
    return labels.astype("int64")


def class_names_of(names: Sequence[str] | None, labels: np.ndarray) -> tuple[str, ...]:
    """Return one name per class, the numbers themselves if there are none."""
    if names is None:
        counts = np.bincount(labels)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            raise ValueError(
                f"Each class needs an image, received none with the label {empty[0]} "
                f"and labels up to {len(counts) - 1}. Number the classes from 0 with "
                "no gaps, or pass class_names."
            )
        return tuple(str(i) for i in range(len(counts)))
    if len(set(names)) < len(names):
        raise ValueError(f"class_names must all differ, received {list(names)}.")
    return tuple(str(name) for name in names)
