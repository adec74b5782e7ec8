"""Data sets of other libraries."""

import types

import grain
import numpy as np
import pytest
import torch.utils.data
from PIL import Image

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
    # Arrays are divided by their contents, sets of other libraries by number.
    expected = keras_vit.load_data((pixels, LABELS), validation_fraction=0).train
    source, names = sources(pixels)[kind], ["cat", "dog"]
    assert len(keras_vit.load_data(source, class_names=names).validation) == 4
    data = keras_vit.load_data(source, class_names=names, validation_fraction=0)
    assert data.class_names == ("cat", "dog")
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
    read = []

    class Counted(Pairs):
        targets = torch.tensor(np.tile(LABELS, 5), device="cpu")

        def __len__(self):
            return 5 * len(LABELS)

        def __getitem__(self, number):
            read.append(number)
            return super().__getitem__(number % len(LABELS))

    data = keras_vit.load_data(Counted(pixels), validation_fraction=0.0)
    np.testing.assert_array_equal(data.train.labels, np.tile(LABELS, 5))
    assert len(read) < len(data.train)


@pytest.mark.parametrize("transform", [None, lambda label: 1 - label])
def test_labels_in_another_order_than_the_items_are_not_taken(pixels, transform):
    dataset = Pairs(pixels)
    dataset.targets = LABELS if transform else LABELS[::-1] ^ 1
    dataset.target_transform = transform
    data = keras_vit.load_data(dataset, validation_fraction=0.0)
    np.testing.assert_array_equal(data.train.labels, LABELS)


def test_streams_are_refused_with_what_to_do(pixels):
    tf = pytest.importorskip("tensorflow")
    stream = tf.data.Dataset.from_tensor_slices((pixels, LABELS))
    with pytest.raises(TypeError, match="which is a stream. Use 'tfds:NAME'"):
        keras_vit.load_data(stream)
    with pytest.raises(TypeError, match="recipe.training_copy"):
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


class Decoded(torch.utils.data.Dataset):
    """What a Hugging Face `Dataset` is: items as dictionaries, columns by name."""

    def __init__(self, pixels, labels, names=None):
        self._columns = {"pic": list(pixels), "kind": list(labels)}
        self.column_names = list(self._columns)
        dtype = "string" if names is None else "int64"
        label = types.SimpleNamespace(names=names, dtype=dtype)
        self.features = {"pic": types.SimpleNamespace(), "kind": label}

    def __len__(self):
        return len(self._columns["pic"])

    def __getitem__(self, key):
        if isinstance(key, str):
            return self._columns[key]
        return {name: values[key] for name, values in self._columns.items()}


COLUMNS = {"image": "pic", "label": "kind"}


@pytest.mark.parametrize("names", [None, ["no", "yes"]])
def test_columns_and_class_names_of_hugging_face(names, pixels):
    labels = LABELS if names else np.array(["no", "yes"])[LABELS]
    source = Decoded(pixels, labels, names)
    data = keras_vit.load_data({"train": source, "valid": source}, columns=COLUMNS)
    assert data.class_names == ("no", "yes") and len(data.validation) == 20
    np.testing.assert_array_equal(data.train.labels, LABELS)
    np.testing.assert_array_equal(list(data.train.pictures()), pixels)


def test_columns_that_a_set_lacks_are_refused(pixels):
    source = Decoded(pixels, LABELS, ["no", "yes"])
    with pytest.raises(
        ValueError, match=r"columns=\{'label': \.\.\.\}, received \['pi"
    ):
        keras_vit.load_data(source)
    with pytest.raises(ValueError, match="and 'picture'"):
        keras_vit.load_data(source, columns={**COLUMNS, "image": "picture"})
    with pytest.raises(ValueError, match=r"received \['path'\] as well"):
        keras_vit.load_data(source, columns={"path": "pic"})
    with pytest.raises(ValueError, match="names keys of dictionaries"):
        keras_vit.load_data(Pairs(pixels), columns=COLUMNS)


def test_real_sets_of_hugging_face(pixels):
    datasets = pytest.importorskip("datasets")
    labels = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"image": datasets.Image(), "label": labels})
    columns = {"image": [Image.fromarray(x) for x in pixels], "label": LABELS}
    source = datasets.Dataset.from_dict(columns, features=features)
    divided = source.train_test_split(test_size=0.25, seed=0)
    data = keras_vit.load_data(divided, validation_fraction=0)
    assert data.class_names == ("no", "yes") and len(data.test) == 5
    of_picture = {x.tobytes(): y for x, y in zip(pixels, LABELS, strict=True)}
    found = [of_picture[np.asarray(x).tobytes()] for x in data.train.pictures()]
    np.testing.assert_array_equal(data.train.labels, found)
