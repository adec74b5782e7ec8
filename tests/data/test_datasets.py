"""Data sets of other libraries."""

import grain
import numpy as np
import pytest
import torch.utils.data

import keras_vit
from keras_vit import Preprocessing

PREPROCESSING = Preprocessing(image_size=4)


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (20, 4, 4, 3), dtype="uint8")


LABELS = np.arange(20) % 2


class Pairs(torch.utils.data.Dataset):
    """A set as users write them: tensors as torchvision's ToTensor gives them."""

    def __init__(self, pixels):
        self.pixels = pixels

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, i):
        tensor = torch.tensor(self.pixels[i], device="cpu").permute(2, 0, 1) / 255
        return tensor, int(LABELS[i])


def sources(pixels):
    records = [
        {"image": image, "label": int(label)}
        for image, label in zip(pixels, LABELS, strict=True)
    ]
    return {
        "torch": Pairs(pixels),
        "loader": torch.utils.data.DataLoader(Pairs(pixels), batch_size=4),
        "grain": grain.MapDataset.source(records),
    }


@pytest.mark.parametrize("kind", ["torch", "loader", "grain"])
def test_sets_of_other_libraries_give_what_arrays_give(kind, pixels):
    expected = keras_vit.load_data((pixels, LABELS)).train
    data = keras_vit.load_data(sources(pixels)[kind], class_names=["cat", "dog"])
    assert data.class_names == ("cat", "dog") and len(data.validation) == 4
    for ours, theirs in zip(
        data.train.batches(PREPROCESSING, 8, training=True)[0],
        expected.batches(PREPROCESSING, 8, training=True)[0],
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_parts_may_be_sets(pixels):
    data = keras_vit.load_data({"train": Pairs(pixels), "test": (pixels, LABELS)})
    assert len(data.train) == 20 - len(data.validation) and len(data.test) == 20


def test_labels_are_taken_where_the_set_has_them(pixels):
    dataset = Pairs(pixels)
    dataset.targets = torch.tensor(1 - LABELS, device="cpu")
    data = keras_vit.load_data(dataset, validation_fraction=0.0)
    np.testing.assert_array_equal(data.train.labels, 1 - LABELS)


def test_streams_are_refused_with_what_to_do(pixels):
    tf = pytest.importorskip("tensorflow")
    stream = tf.data.Dataset.from_tensor_slices((pixels, LABELS))
    with pytest.raises(TypeError, match="which is a stream. Use 'tfds:NAME'"):
        keras_vit.load_data(stream)
    with pytest.raises(TypeError, match="recipe.training_model"):
        keras_vit.load_data(iter(Pairs(pixels)))


def test_a_loader_with_its_own_order_is_refused(pixels):
    sampler = torch.utils.data.WeightedRandomSampler([1.0] * 20, 20)
    loader = torch.utils.data.DataLoader(Pairs(pixels), sampler=sampler)
    with pytest.raises(TypeError, match="Pass loader.dataset"):
        keras_vit.load_data(loader)


def test_other_items_are_refused(pixels):
    with pytest.raises(ValueError, match="must be single images"):
        keras_vit.load_data(grain.MapDataset.source([(pixels, 0)] * 3))
    with pytest.raises(ValueError, match="an image and a label under the keys"):
        keras_vit.load_data(grain.MapDataset.source([{"x": 1}] * 3))
    with pytest.raises(ValueError, match=r"Items must be \(image, label\)"):
        keras_vit.load_data(grain.MapDataset.source([1, 2]))
