"""Order, repeats, balance, shards and padding."""

import numpy as np
import pytest

from keras_vit import Preprocessing
from keras_vit.data.batch_options import BatchOptions
from keras_vit.data.sampling import (
    Sampler,
    Slots,
    batch_generator,
    image_generator,
)


def make_sampler(num_images: int, labels=None, **options) -> Sampler:
    how = BatchOptions(preprocessing=Preprocessing(), **options)
    return Sampler(num_images, how, labels)


def batches(sampler: Sampler, number: int = 0) -> list[Slots]:
    """Each batch of an epoch."""
    return [sampler.slots(number, index) for index in range(len(sampler))]


def epoch(sampler, number=0):
    """Positions of each batch of an epoch."""
    return [slots.positions for slots in batches(sampler, number)]


def test_repeats_of_an_image_differ_and_share_a_batch():
    sampler = make_sampler(
        num_images=60, batch_size=12, training=True, repeated_augmentation=3
    )
    seen = np.concatenate(epoch(sampler))
    assert len(seen) == 60
    np.testing.assert_array_equal(np.bincount(np.bincount(seen)[seen]), [0, 0, 0, 60])
    for slots in batches(sampler):
        assert len(np.unique(slots.positions)) == 4
        for position in np.unique(slots.positions):
            repeats = slots.repeats[slots.positions == position]
            assert sorted(repeats) == [0, 1, 2]


def test_repeated_augmentation_goes_through_all_images_over_epochs():
    sampler = make_sampler(
        num_images=60, batch_size=12, training=True, repeated_augmentation=3
    )
    seen = {int(p) for e in range(30) for batch in epoch(sampler, e) for p in batch}
    assert seen == set(range(60))


def test_balanced_sampling_draws_each_class_equally_often():
    labels = np.array([0] * 70 + [1] * 20 + [2] * 10)
    sampler = make_sampler(
        num_images=100, labels=labels, batch_size=10, training=True,
        class_balance="sampling",
    )  # fmt: skip
    positions = np.concatenate(epoch(sampler))
    counts = np.bincount(labels[positions])
    assert counts.min() >= 33 and counts.max() <= 34
    rare = np.bincount(positions, minlength=100)[90:]
    assert rare.min() >= 3  # Each image of a class before one comes again.
    repeats = np.concatenate([slots.repeats for slots in batches(sampler)])
    pairs = set(zip(positions.tolist(), repeats.tolist(), strict=True))
    assert len(pairs) == 100


def test_class_weights_give_each_class_the_same_say():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    sampler = make_sampler(
        num_images=10, labels=labels, batch_size=10, training=True,
        class_balance="weights",
    )  # fmt: skip
    slots = sampler.slots(0, 0)
    sums = np.bincount(labels[slots.positions], weights=slots.weights)
    np.testing.assert_allclose(sums, 10 / 3, rtol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("training", [True, False])
def test_processes_share_the_batch_of_one(count, training):
    options = {"num_images": 50, "batch_size": 12, "training": training}
    whole = make_sampler(pad=not training, **options)
    parts = [
        make_sampler(pad=not training, shard=(i, count), **options)
        for i in range(count)
    ]
    assert {len(part) for part in parts} == {len(whole)}
    for index in range(len(whole)):
        for name in ("positions", "repeats", "weights"):
            together = np.concatenate(
                [getattr(part.slots(3, index), name) for part in parts]
            )
            np.testing.assert_array_equal(
                together, getattr(whole.slots(3, index), name)
            )


@pytest.mark.parametrize(("batch_size", "count"), [(1, 1), (7, 1), (64, 4), (8, 8)])
def test_evaluation_counts_each_image_once(batch_size, count):
    counted = np.zeros(50)
    for i in range(count):
        sampler = make_sampler(
            num_images=50, batch_size=batch_size, pad=True, shard=(i, count)
        )
        for slots in batches(sampler):
            assert len(slots.positions) == batch_size // count
            np.add.at(counted, slots.positions, slots.weights)
    np.testing.assert_array_equal(counted, 1)


def test_generators_of_images_and_batches_differ():
    draws = {
        image_generator(3, 1, 2, 0).random(),
        image_generator(3, 1, 2, 1).random(),
        image_generator(3, 2, 2, 0).random(),
        batch_generator(3, 1, 2).random(),
    }
    assert len(draws) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"shard": (2, 2)}, "shard must be"),
        ({"shard": (0, 3)}, "must be a multiple of their number"),
        ({"repeated_augmentation": 0}, "repeated_augmentation must be a whole number"),
        ({"class_balance": "both"}, "class_balance must be one of"),
        (
            {"class_balance": "sampling", "repeated_augmentation": 2},
            "Leave one of them out",
        ),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_sampler(**{"num_images": 10, "batch_size": 4, **options})
