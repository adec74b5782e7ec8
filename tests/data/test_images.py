"""Labelled images and their batches."""

from dataclasses import replace

import numpy as np
import pytest

import keras_vit
from keras_vit import Augmentation, Preprocessing
from keras_vit.data.images import joined
from keras_vit.data.sources.arrays import images_from_arrays

PREPROCESSING = Preprocessing(image_size=4, channels=1, mean=0.0, std=1.0)


@pytest.fixture
def images():
    """Fifty images, each of one value that is its number."""
    pixels = np.broadcast_to(np.arange(50, dtype="uint8")[:, None, None], (50, 4, 4))
    return images_from_arrays(pixels, np.arange(50) % 3)


def numbers(batch) -> np.ndarray:
    return np.rint(batch[0][:, 0, 0, 0] * 255).astype(int)


def test_batches_hold_preprocessed_images_and_their_labels(images):
    pixels, labels = images.batches(PREPROCESSING, 8)[1]
    assert pixels.shape == (8, 4, 4, 1) and pixels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.arange(8, 16) % 3)


def test_evaluation_sees_each_image_once_in_order(images):
    batches = images.batches(PREPROCESSING, 8)
    seen = np.concatenate([numbers(batches[i]) for i in range(len(batches))])
    np.testing.assert_array_equal(seen, np.arange(50))


def test_training_drops_the_incomplete_batch(images):
    batches = images.batches(PREPROCESSING, 8, training=True)
    assert len(batches) == 6
    assert {len(batches[i][1]) for i in range(6)} == {8}


def test_a_set_smaller_than_a_batch_still_trains(images):
    batches = images.batches(PREPROCESSING, 64, training=True)
    assert len(batches) == 1 and len(batches[0][1]) == 50


def test_order_follows_from_seed_and_epoch(images):
    first, again = (images.batches(PREPROCESSING, 50, training=True) for _ in range(2))
    np.testing.assert_array_equal(numbers(first[0]), numbers(again[0]))
    again.epoch = 1
    assert not np.array_equal(numbers(first[0]), numbers(again[0]))
    first.end_epoch()
    np.testing.assert_array_equal(numbers(first[0]), numbers(again[0]))


def test_augmentation_does_not_touch_evaluation(images):
    plain = images.batches(PREPROCESSING, 50)[0][0]
    augmented = images.batches(
        PREPROCESSING, 50, augmentation=Augmentation(translation=0.5)
    )[0][0]
    np.testing.assert_array_equal(plain, augmented)


def test_a_subset_keeps_images_and_labels_together(images):
    subset = images.subset(np.array([40, 7]))
    batch = subset.batches(PREPROCESSING, 8)[0]
    np.testing.assert_array_equal(numbers(batch), [40, 7])
    np.testing.assert_array_equal(batch[1], [40 % 3, 7 % 3])
    np.testing.assert_array_equal(subset.labels, [40 % 3, 7 % 3])


def test_joined_sets_keep_groups_and_read_no_picture_again(images):
    known = replace(images, all_groups=np.arange(50) // 10, group_names=tuple("abcde"))
    parts = [known.subset(np.arange(20, 30)), known.subset(np.arange(5))]
    contents = np.concatenate([part.content for part in parts])

    def read(number):
        raise AssertionError(f"picture {number} is read again")

    whole = joined([replace(part, read=read) for part in parts])
    np.testing.assert_array_equal(whole.content, contents)
    np.testing.assert_array_equal(whole.groups, [2] * 10 + [0] * 5)
    assert whole.group_names == tuple("abcde")
    assert joined([parts[0], images]).groups is None


def test_samples_are_spread_over_the_set(images):
    assert [int(sample[0, 0]) for sample in images.samples(3)] == [0, 24, 49]


def test_batches_feed_fit_evaluate_and_predict():
    data = keras_vit.load_data("digits")
    model = keras_vit.ViT.from_variant("digits")
    preprocessing = Preprocessing(image_size=16, channels=1)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    few = data.test.subset(data.test.indices[:120])
    train = few.batches(preprocessing, 32, training=True)
    history = model.fit(train, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    held_out = few.batches(preprocessing, 32)
    assert model.predict(held_out, verbose=0).shape == (120, 10)


def test_a_batch_needs_an_image(images):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        images.batches(PREPROCESSING, 0)
