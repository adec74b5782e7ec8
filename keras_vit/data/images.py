"""A labelled set of images with random access, and its batches for `model.fit`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.augmentation import Augmentation
from keras_vit.data.batches import ImageBatches
from keras_vit.data.feeds import Engine, check_engine, feed
from keras_vit.data.mixing import Mixing
from keras_vit.data.sampling import ClassBalance
from keras_vit.preprocessing import Preprocessing


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
        num_classes: length of labels that are probabilities. Default: the highest
            label plus 1.
    """

    read: Callable[[int], Any]
    all_labels: np.ndarray
    indices: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]
    identity: str = ""
    num_classes: int = 0

    def __post_init__(self) -> None:
        if self.indices is None:
            object.__setattr__(self, "indices", np.arange(len(self.all_labels)))
        if not self.num_classes:
            highest = int(self.all_labels.max(initial=-1))
            object.__setattr__(self, "num_classes", highest + 1)

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
        mixing: Mixing | None = None,
        repeated_augmentation: int = 1,
        class_balance: ClassBalance | None = None,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
        pad: bool = False,
        cache: bool | str | Path | None = None,
        workers: int | None = None,
        engine: Engine = "threads",
    ) -> Any:
        """Return batches (images, labels) for `fit`, `evaluate` and `predict`.

        Args:
            preprocessing: what each picture goes through.
            batch_size: images per batch, of all processes together, at least 1.
            training: whether to shuffle, augment, mix and drop an incomplete last
                batch. A set smaller than one batch is one batch.
            augmentation: random changes while training. Default None.
            mixing: MixUp and CutMix while training; labels become probabilities,
                float32 (B, `num_classes`). Default None.
            repeated_augmentation: how often each image of an epoch is in it while
                training, changed differently each time; the epoch stays as long.
                Default 1.
            class_balance: while training, "sampling" draws each class equally often,
                "weights" weighs rare classes more in the loss. Default None.
            seed: of order, augmentation and mixing.
            shard: (index, count): this process is number `index` of `count` and gets
                that part of each batch; the batch is the same for any count. Default
                (0, 1).
            pad: whether the last batch of an evaluation is filled up, so that all have
                the same size. Always with several processes. Default False.
            cache: False reads each picture anew; a folder keeps them decoded there;
                True keeps them in memory, resized. Default None: in memory if they fit
                into 256 MiB. With random crops, training keeps pictures in a
                folder only.
            workers: threads that prepare batches ahead. Default: one per core but one,
                at least 2, at most 8.
            engine: "threads" (default): an `ImageBatches`; "tf.data", "grain" or
                "torch": what these libraries call a data set. All give the same,
                but "grain" gives one epoch; see `to_grain`.

        Returns:
            Batches of (images, labels), with `pad` or "weights" (images, labels,
            weights): the weight of an image in the loss, float32 (B,), 0 for padding.

        Raises:
            ImportError: if the library of `engine`, or KerasCV, is not installed.
            ValueError: if an option is out of its range or does not fit another one.
        """
        check_engine(engine)
        batches = ImageBatches(
            self,
            preprocessing,
            batch_size,
            training=training,
            augmentation=augmentation or Augmentation(),
            mixing=mixing,
            repeated_augmentation=repeated_augmentation,
            class_balance=class_balance,
            seed=seed,
            shard=shard,
            pad=pad,
            cache=cache,
            workers=workers,
        )
        return feed(batches, engine)


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
