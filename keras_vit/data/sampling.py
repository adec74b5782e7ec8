"""Which images make up which batch: order, repeats, class balance, shards, padding."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from keras_vit.data.batch_options import BatchOptions

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


@dataclass(frozen=True)
class Sampler:
    """Which images each batch of an epoch holds.

    Everything follows from `seed`, epoch and batch number: a batch is the same on each
    machine, for any number of processes, and after a restart in the middle of an epoch.

    Args:
        num_images: of the set, N. When training, at least one batch.
        options: order, repeats, class balance, shard and padding of the batches.
        labels: class of each image of the set, (N,), or None if nothing depends on it.

    Reference: arXiv:1902.05509 (repeated augmentation), as DeiT's RASampler: repeats
        stand side by side in the order of an epoch, which ends after N images and so
        holds N / `repeated_augmentation` different ones. DeiT deals them out to the
        processes in turn, here a batch is shuffled.
    """

    num_images: int
    options: BatchOptions
    labels: np.ndarray | None = None
    _orders: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        full, rest = divmod(self.num_images, self.options.batch_size)
        return full + (1 if rest and not self.options.training else 0)

    @property
    def local_batch_size(self) -> int:
        """Images of a full batch that this process has."""
        return self.options.batch_size // self.options.shard[1]

    def slots(self, epoch: int, index: int) -> Slots:
        """Return the images of batch `index` of an epoch that this process has."""
        order, repeats = self._order(epoch)
        start = index * self.options.batch_size
        part = slice(start, start + self.options.batch_size)
        positions, repeats = order[part], repeats[part]
        weights = self._weights(positions)
        if self.options.pad and len(positions) < self.options.batch_size:
            missing = self.options.batch_size - len(positions)
            positions, repeats, weights = (
                np.pad(values, (0, missing)) for values in (positions, repeats, weights)
            )
        mine = self.local_slice(len(positions))
        return Slots(
            positions=positions[mine], repeats=repeats[mine], weights=weights[mine]
        )

    def local_slice(self, count: int) -> slice:
        """Return which of the `count` images of a batch this process has."""
        index, shards = self.options.shard
        return slice(count * index // shards, count * (index + 1) // shards)

    def _order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return position and repeat of each slot of an epoch, of all processes."""
        kept = self._orders.get("last")
        if kept is None or kept[0] != epoch:
            kept = self._orders["last"] = (epoch, *self._draw(epoch))
        return kept[1], kept[2]

    def _draw(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        count = self.num_images
        if not self.options.training:
            return np.arange(count), np.zeros(count, "int64")
        rng = np.random.default_rng([self.options.seed, epoch])
        if self.options.class_balance == "sampling":
            order = _balanced(self._known_labels, rng)
        else:
            order = rng.permutation(count)
            if self.options.repeated_augmentation == 1:
                return order, np.zeros(count, "int64")
        if self.options.repeated_augmentation > 1:
            order = np.repeat(order, self.options.repeated_augmentation)[:count]
            rng = np.random.default_rng([self.options.seed, epoch, 0, 0, _WITHIN_BATCH])
            for start in range(0, count, self.options.batch_size):
                rng.shuffle(order[start : start + self.options.batch_size])
        return order, _repeats(order)

    def _weights(self, positions: np.ndarray) -> np.ndarray:
        if self.options.class_balance != "weights":
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


def image_generator(seed: int, epoch: int, number: int, repeat: int = 0) -> Generator:
    """Return what decides the changes of one image.

    Args:
        seed: of the run.
        epoch: from 0.
        number: of the image in its set.
        repeat: 0 for the first time that an image is in an epoch. Default 0.
    """
    key = [seed, epoch, number]
    return np.random.default_rng([*key, repeat] if repeat else key)


def batch_generator(seed: int, epoch: int, index: int) -> Generator:
    """Return what decides how batch `index` is mixed, the same for all processes."""
    return np.random.default_rng([seed, epoch, index, 0, _MIXING])


def _balanced(labels: np.ndarray, rng: Generator) -> np.ndarray:
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
