"""The range of values is decided once for a set, never per picture."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing

torch = pytest.importorskip("torch")

LABELS = np.arange(12) % 2
PREPROCESSING = Preprocessing(image_size=8)


def frames(dtype="float32", scale=255.0, dark=3):
    """Return pictures of which one is nearly black."""
    pixels = np.random.default_rng(0).uniform(0, scale, (12, 8, 8, 3)).astype(dtype)
    pixels[dark] = np.linspace(0, scale / 255, 192).reshape(8, 8, 3)
    return pixels


class Tensors(torch.utils.data.Dataset):
    def __init__(self, pixels):
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, number):
        pixels = torch.tensor(self.pixels[number], device="cpu").permute(2, 0, 1)
        return pixels, int(LABELS[number % 12])


class Arrays(Tensors):
    def __getitem__(self, number):
        return self.pixels[number], int(LABELS[number % 12])


SETS = {
    "array": lambda pixels: (pixels, LABELS),
    "list": lambda pixels: (list(pixels), LABELS),
    "torch": Tensors,
    "numpy set": Arrays,
}


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("dark", [0, 3, 11])
def test_a_dark_frame_stays_dark(kind, dark):
    pixels = frames(dark=dark)
    data = keras_vit.load_data(SETS[kind](pixels), validation_fraction=0)
    for training in (False, True):
        batches = data.train.batches(PREPROCESSING, 12, training=training)
        images = np.sort(batches[0][0].max(axis=(1, 2, 3)))
        assert images[0] == pytest.approx(1 / 127.5 - 1, abs=1e-5) and images[1] > 0
    assert data.values.startswith("float32 values from 0 to 25")
    assert data.summary()["values"] == data.values


def test_tensors_of_a_unit_set_are_bytes_divided_by_255():
    data = keras_vit.load_data(Tensors(frames(scale=1.0)), validation_fraction=0)
    pictures = list(data.train.pictures())
    assert all(picture.dtype == np.uint8 for picture in pictures)
    assert pictures[3].max() == 1 and pictures[0].max() > 250
    assert data.values.startswith("uint8 values from 0")


@pytest.mark.parametrize("kind", ["array", "list", "numpy set"])
def test_a_set_between_0_and_1_is_refused_before_the_first_batch(kind):
    data = keras_vit.load_data(SETS[kind](frames(scale=1.0)), validation_fraction=0)
    with pytest.raises(ValueError, match="Multiply them by 255"):
        data.train.batches(PREPROCESSING, 4)
    unit = Preprocessing(image_size=8, value_range=(0, 1))
    assert data.train.batches(unit, 12)[0][0].max() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", ["array", "torch"])
def test_parts_share_the_range_of_the_training_part(kind):
    dark = frames() / 300
    parts = {"train": SETS[kind](frames()), "test": SETS[kind](dark)}
    data = keras_vit.load_data(parts, validation_fraction=0)
    images = data.test.batches(PREPROCESSING, 12)[0][0]
    assert images.max() < 1 / 127.5 - 1


def test_a_tensor_that_does_not_fit_the_sample_is_named():
    pixels = np.zeros((300, 8, 8, 3), "float32") + 0.5
    pixels[1] = 200
    data = keras_vit.load_data(Tensors(pixels), validation_fraction=0)
    with pytest.raises(ValueError, match="Item 1: tensors of one set"):
        list(data.train.pictures())


def test_prediction_asks_the_whole_list():
    model = keras_vit.ViT.from_variant(
        "test", num_classes=2, preprocessing=Preprocessing(image_size=32)
    )
    pixels = frames()
    assert len(keras_vit.predict(model, pixels, batch_size=1)) == 12
    assert len(keras_vit.predict(model, list(pixels))) == 12
    assert keras_vit.embed(model, keras.ops.convert_to_tensor(pixels)).shape[0] == 12
    with pytest.raises(ValueError, match="Multiply them by 255"):
        keras_vit.predict(model, pixels[3:4])
