"""Images from TensorFlow Datasets, on sets that the real library builds locally."""

from __future__ import annotations

import sys
import time

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

import keras_vit
from keras_vit import Augmentation, Preprocessing
from keras_vit.data import Mixing
from keras_vit.data.sources.digits import load_digits
from keras_vit.data.sources.tfds_batches import StreamBatches

PREPROCESSING = Preprocessing(image_size=16, channels=1)


class LocalDigits(tfds.core.GeneratorBasedBuilder):
    """Three hundred digits with a training and a test split."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = {"train": slice(0, 240), "test": slice(240, 300)}

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(names=list("0123456789")),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate(part) for name, part in self.SPLITS.items()}

    def _generate(self, part):
        images, labels = load_digits()
        for i in range(part.start, part.stop):
            yield i, {"image": images[i], "label": int(labels[i])}

    def _generate_examples(self):
        raise AssertionError("not used")


class LocalNumbers(tfds.core.GeneratorBasedBuilder):
    """A set without images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"x": np.float32})
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {"train": iter([(i, {"x": float(i)}) for i in range(3)])}

    def _generate_examples(self):
        raise AssertionError("not used")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("tfds"))
    LocalDigits(data_dir=folder).download_and_prepare()
    LocalNumbers(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def data(data_dir):
    return keras_vit.load_data("tfds:local_digits", data_dir=data_dir)


def test_splits_and_class_names_come_from_the_set(data):
    assert data.class_names == tuple("0123456789")
    assert len(data.test) == 60
    assert len(data.train) + len(data.validation) == 240


def test_validation_is_stratified_and_disjoint(data):
    counts = np.bincount(data.validation.labels, minlength=10)
    whole = counts + np.bincount(data.train.labels, minlength=10)
    np.testing.assert_allclose(counts, whole * 0.2, atol=0.51)
    train = {picture.tobytes() for picture in data.train.samples(240)}
    held_out = {picture.tobytes() for picture in data.validation.samples(240)}
    assert not train & held_out and len(train | held_out) == 240


def test_evaluation_batches_give_each_image_once_with_its_label(data):
    images, labels = load_digits()
    expected = np.stack([PREPROCESSING(image) for image in images])
    batches = list(data.test.batches(PREPROCESSING, 16))
    pixels = np.concatenate([np.asarray(batch[0]) for batch in batches])
    found = np.concatenate([np.asarray(batch[1]) for batch in batches])
    assert len(batches) == 4 and len(pixels) == 60
    for picture, label in zip(pixels, found, strict=True):
        same = np.flatnonzero((expected == picture).all(axis=(1, 2, 3)))
        assert label in labels[same]


def test_training_batches_are_shuffled_anew_in_each_epoch(data):
    batches = data.train.batches(PREPROCESSING, 32, training=True)
    first, second = ([np.asarray(b[1]) for b in batches] for _ in range(2))
    assert len(first) == len(batches) == len(data.train) // 32
    assert not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_epoch_decides_order_and_augmentation(data):
    options = {
        "training": True,
        "augmentation": Augmentation(rotation=20, random_erasing=0.5),
        "mixing": Mixing(mode="elem"),
        "repeated_augmentation": 2,
    }
    batches = data.train.batches(PREPROCESSING, 32, **options)
    epochs = [[np.asarray(batch[0]) for batch in batches] for _ in range(2)]
    assert batches.epoch == 2 and len(epochs[0]) == len(batches)
    again = data.train.batches(PREPROCESSING, 32, **options)
    again.epoch = 1
    for batch, expected in zip(again, epochs[1], strict=True):
        np.testing.assert_array_equal(batch[0], expected)
        assert batch[1].shape == (32, 10)
    assert not np.array_equal(epochs[0][0], epochs[1][0])


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("count", [1, 4])
def test_processes_evaluate_each_image_once(data, part, count):
    images = data.part(part)
    seen = []
    for index in range(count):
        batches = images.batches(PREPROCESSING, 16, shard=(index, count), pad=True)
        for pixels, labels, weights in batches:
            assert len(labels) == 16 // count
            seen += list(np.asarray(pixels)[np.asarray(weights) > 0])
    expected = np.stack([PREPROCESSING(picture) for picture in images.pictures()])
    assert len(seen) == len(expected)
    assert {x.tobytes() for x in seen} == {x.tobytes() for x in expected}


def test_processes_train_on_as_many_batches(data):
    parts = [
        data.train.batches(PREPROCESSING, 32, training=True, shard=(index, 4))
        for index in range(4)
    ]
    assert {len(list(part)) for part in parts} == {len(data.train) // 32}


def test_class_weights_are_given_with_each_image(data):
    batches = data.train.batches(
        PREPROCESSING, 32, training=True, class_balance="weights"
    )
    _, labels, weights = next(iter(batches))
    counts = np.bincount(data.train.labels, minlength=10)
    expected = len(data.train) / (10 * counts[np.asarray(labels)])
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "options", [{"class_balance": "sampling"}, {"engine": "grain"}, {"cache": "x"}]
)
def test_a_stream_refuses_what_needs_numbers(data, options):
    with pytest.raises(ValueError, match="needs images by number"):
        data.train.batches(PREPROCESSING, 32, training=True, **options)


def test_a_set_trains_and_evaluates(data):
    keras.utils.set_random_seed(0)
    model = keras_vit.ViT.from_variant("digits")
    recipe = keras_vit.Recipe(epochs=6, warmup_epochs=1, batch_size=32)
    result = keras_vit.train(model, data, recipe, verbose=0)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    evaluation = keras_vit.evaluate(model, data)
    assert evaluation.part == "test" and evaluation.num_images == 60


def test_a_stream_says_how_long_a_batch_takes(data, monkeypatch):
    def slow(self, pixels, epoch, number, copy):
        time.sleep(0.01)
        return np.zeros((16, 16, 1), "float32")

    monkeypatch.setattr(StreamBatches, "_values", slow)
    batches = data.train.batches(PREPROCESSING, 32, training=True, workers=1)
    assert len(list(batches)) == 5 and batches.seconds_per_batch > 0.3


def test_an_unknown_set_is_refused(data_dir):
    with pytest.raises(ValueError, match="could not open 'no_such_set'"):
        keras_vit.load_data("tfds:no_such_set", data_dir=data_dir)


def test_a_set_without_images_is_refused(data_dir):
    with pytest.raises(ValueError, match="one image and one class label"):
        keras_vit.load_data("tfds:local_numbers", data_dir=data_dir)


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"keras3-vit\[tfds\]"):
        keras_vit.load_data("tfds:mnist")
