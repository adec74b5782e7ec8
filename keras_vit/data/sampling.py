"""Which images make up which batch: order, repeats, class balance, shards, padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

ClassBalance = Literal["sampling", "weights"]

# Marks the generators of whole epochs and batches, apart from those of images.
_WITHIN_BATCH, _MIXING = 1, 2


@dataclass(frozen=True, kw_only=True)
class Slots:
    """The images of one batch, or of the part of it that one process has.

    Args:
        positions: number of each image in its set, int64 (B,).
        repeats: 0 for the first time that an image is in an epoch, 1 for the next, …
        weights: of each image in the loss, float32 (B,); 0 is padding.
    """

    positions: np.ndarray
    repeats: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Which images each batch of an epoch holds.

    Everything follows from `seed`, epoch and batch number: a batch is the same on each
    machine, for any number of processes, and after a restart in the middle of an epoch.

    Args:
        labels: class of each image of the set, (N,), or None if nothing depends on it.
        num_images: N.
        batch_size: images per batch, of all processes together, at least 1. When
            training, at most N.
        training: whether to shuffle and drop an incomplete last batch.
        seed: of the order, at least 0.
        repeated_augmentation: how often each image of an epoch is in it, each time
            changed differently and in the same batch where possible; the epoch stays
            as long, so that it holds N / `repeated_augmentation` different images.
            Default 1.
        class_balance: "sampling" draws each class equally often, rare images several
            times and common ones not at all; "weights" weighs each image in the loss by
            N / (classes * images of its class). Default None.
        shard: (index, count): this process is number `index` of `count` and has that
            contiguous part of each batch. Default (0, 1).
        pad: whether the last batch of an evaluation is filled up with images of weight
            0. Default False.

    Raises:
        ValueError: if an option is out of its range, or the batch cannot be divided.

    Reference: arXiv:1902.05509 (repeated augmentation), as DeiT's RASampler: repeats
        stand side by side in the order of an epoch, which ends after N images. DeiT
        deals them out to the processes in turn, here a batch is shuffled.
    """

    num_images: int
    batch_size: int
    labels: np.ndarray | None = None
    training: bool = False
    seed: int = 0
    repeated_augmentation: int = 1
    class_balance: ClassBalance | None = None
    shard: tuple[int, int] = (0, 1)
    pad: bool = False
    _orders: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_sampling(
            self.batch_size, self.shard, self.repeated_augmentation, self.class_balance
        )

    def __len__(self) -> int:
        full, rest = divmod(self.num_images, self.batch_size)
        return full + (1 if rest and not self.training else 0)

    @property
    def local_batch_size(self) -> int:
        """Images of a full batch that this process has."""
        return self.batch_size // self.shard[1]

    @property
    def has_weights(self) -> bool:
        """Whether batches say how much each image counts."""
        return self.pad or (self.training and self.class_balance == "weights")

    def slots(self, epoch: int, index: int) -> Slots:
        """Return the images of batch `index` of an epoch that this process has."""
        order, repeats = self._order(epoch)
        start = index * self.batch_size
        part = slice(start, start + self.batch_size)
        positions, repeats = order[part], repeats[part]
        weights = self._weights(positions)
        if self.pad and len(positions) < self.batch_size:
            missing = self.batch_size - len(positions)
            positions, repeats, weights = (
                np.pad(values, (0, missing)) for values in (positions, repeats, weights)
            )
        mine = self.local_slice(len(positions))
        return Slots(
            positions=positions[mine], repeats=repeats[mine], weights=weights[mine]
        )

    def local_slice(self, count: int) -> slice:
        """Return which of the `count` images of a batch this process has."""
        index, shards = self.shard
        return slice(count * index // shards, count * (index + 1) // shards)

    def image_generator(
        self, epoch: int, number: int, repeat: int
    ) -> np.random.Generator:
        """Return what decides the changes of one image."""
        key = [self.seed, epoch, number]
        return np.random.default_rng([*key, repeat] if repeat else key)

    def batch_generator(self, epoch: int, index: int) -> np.random.Generator:
        """Return what decides how a batch is mixed, the same for all processes."""
        return np.random.default_rng([self.seed, epoch, index, 0, _MIXING])

    def _order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return position and repeat of each slot of an epoch, of all processes."""
        kept = self._orders.get("last")
        if kept is None or kept[0] != epoch:
            kept = self._orders["last"] = (epoch, *self._draw(epoch))
        return kept[1], kept[2]

    def _draw(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        count = self.num_images
        if not self.training:
            return np.arange(count), np.zeros(count, "int64")
        rng = np.random.default_rng([self.seed, epoch])
        if self.class_balance == "sampling":
            order = _balanced(self._known_labels, rng)
        else:
            order = rng.permutation(count)
            if self.repeated_augmentation == 1:
                return order, np.zeros(count, "int64")
        if self.repeated_augmentation > 1:
            order = np.repeat(order, self.repeated_augmentation)[:count]
            rng = np.random.default_rng([self.seed, epoch, 0, 0, _WITHIN_BATCH])
            for start in range(0, count, self.batch_size):
                rng.shuffle(order[start : start + self.batch_size])
        return order, _repeats(order)

    def _weights(self, positions: np.ndarray) -> np.ndarray:
        if not (self.training and self.class_balance == "weights"):
            return np.ones(len(positions), "float32")
        labels = self._known_labels
        counts = np.bincount(labels)
        share = len(labels) / (np.count_nonzero(counts) * counts[labels[positions]])
        return share.astype("float32")

    @property
    def _known_labels(self) -> np.ndarray:
        if self.labels is None:
            raise ValueError("class_balance needs the labels of all images.")
        return self.labels

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_orders": {}}

    def batches(self, epoch: int) -> Iterator[Slots]:
        """Yield the batches of an epoch."""
        return (self.slots(epoch, index) for index in range(len(self)))


def _balanced(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw as many images as there are, each class equally often, as evenly as can be.

    Within a class, every image is drawn before one is drawn again.
    """
    classes = rng.permutation(np.unique(labels))
    drawn = rng.permutation(np.resize(classes, len(labels)))
    order = np.empty(len(labels), "int64")
    for name in classes:
        slots = np.flatnonzero(drawn == name)
        members = np.flatnonzero(labels == name)
        rounds = -(-len(slots) // len(members))
        draws = [rng.permutation(members) for _ in range(rounds)]
        order[slots] = np.concatenate([*draws, members[:0]])[: len(slots)]
    return order


def _repeats(order: np.ndarray) -> np.ndarray:
    """Return how often each image of an order was in it before."""
    by_image = np.argsort(order, kind="stable")
    ordered = order[by_image]
    first = np.searchsorted(ordered, ordered)
    repeats = np.empty(len(order), "int64")
    repeats[by_image] = np.arange(len(order)) - first
    return repeats


def check_sampling(
    batch_size: int,
    shard: tuple[int, int],
    repeated_augmentation: int,
    class_balance: str | None,
) -> None:
    """Raise a ValueError if an option of `Sampler` is out of its range."""
    if batch_size < 1:
        raise ValueError(
            f"batch_size must be at least 1, received batch_size={batch_size}."
        )
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            "shard must be (index, count) with 0 <= index < count, received "
            f"shard={tuple(shard)}."
        )
    if batch_size % count:
        raise ValueError(
            "batch_size is the batch of all processes together and must be a multiple "
            f"of their number, received batch_size={batch_size} for {count} processes. "
            f"Use {max(count, batch_size // count * count)}."
        )
    if not isinstance(repeated_augmentation, int) or repeated_augmentation < 1:
        raise ValueError(
            "repeated_augmentation must be a whole number of at least 1, received "
            f"repeated_augmentation={repeated_augmentation!r}."
        )
    if class_balance not in (None, *get_args(ClassBalance)):
        raise ValueError(
            f"class_balance must be one of {list(get_args(ClassBalance))} or None, "
            f"received class_balance={class_balance!r}."
        )
    if class_balance == "sampling" and repeated_augmentation > 1:
        raise ValueError(
            "class_balance='sampling' repeats rare images itself, received "
            f"repeated_augmentation={repeated_augmentation}. Leave one of them out."
        )
