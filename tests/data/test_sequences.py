"""Pictures and labels pair by position, whatever holds them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.data.sequences import by_position

PATHS = [f"{number}.png" for number in range(6)]


class Series:
    """Answers `series[i]` by its index, as a column of pandas after a shuffle."""

    def __init__(self, values, index):
        self._values, self._index = values, list(index)
        self.shape, self.ndim, self.size = (len(values),), 1, len(values)
        self.iloc = values

    def __getitem__(self, key):
        return self._values[self._index.index(key)]

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return iter(self._values)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._values, dtype)


class Lazy:
    def __getitem__(self, number):
        return PATHS[range(6)[number]]

    def __len__(self):
        return 6


class Table:
    def __init__(self, *columns):
        self.columns, self.shape, self.ndim = list(columns), (6, len(columns)), 2

    def __getitem__(self, key):
        raise KeyError(key)

    def __len__(self):
        return 6

    def __iter__(self):
        return iter(self.columns)

    def __array__(self, dtype=None, copy=None):
        return np.array([[path] * len(self.columns) for path in PATHS], object)


HOLDERS = {
    "shuffled series": lambda: Series(PATHS, [3, 1, 5, 0, 4, 2]),
    "subset of a series": lambda: Series(PATHS, range(7, 13)),
    "table of one column": lambda: Table("path"),
    "tuple": lambda: tuple(PATHS),
    "array of str": lambda: np.array(PATHS),
    "array of bytes": lambda: np.array(PATHS, "S"),
    "array of objects": lambda: np.array(PATHS, object),
    "array of Path": lambda: np.array([Path(path) for path in PATHS]),
    "generator": lambda: (path for path in PATHS),
    "values of a dict": lambda: dict(enumerate(PATHS)).values(),
    "lazy": Lazy,
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_item_i_is_the_value_at_place_i(kind):
    held = by_position(HOLDERS[kind](), "Images")
    assert [str(held[i]) for i in range(len(held))] == PATHS


@pytest.mark.parametrize("kind", HOLDERS)
def test_pictures_and_labels_pair_by_position(kind):
    labels = Series([0, 1, 0, 1, 1, 0], [9, 3, 1, 0, 2, 5])
    pair = HOLDERS[kind](), labels
    data = keras_vit.load_data(pair, validation_fraction=0)
    pictures = [str(picture) for picture in data.train.pictures()]
    assert pictures == PATHS and data.train.labels.tolist() == [0, 1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    "labels",
    [
        iter([0, 1, 0, 1, 1, 0]),
        np.array([0, 1, 0, 1, 1, 0], object),
        np.array([[0], [1], [0], [1], [1], [0]]),
        Series(list("babaab"), range(6)),
    ],
)
def test_labels_of_any_kind(labels):
    names = ["b", "a"] if isinstance(labels, Series) else None
    data = keras_vit.load_data(
        (PATHS, labels), class_names=names, validation_fraction=0
    )
    expected = [0, 1, 0, 1, 1, 0]
    assert data.train.all_labels.tolist() == expected


def test_labels_of_a_tensor():
    labels = keras.ops.convert_to_tensor([0, 1, 0, 1, 1, 0])
    data = keras_vit.load_data((PATHS, labels), validation_fraction=0)
    assert data.num_classes == 2


def test_names_as_labels_need_their_order():
    labels = list("abaabb")
    with pytest.raises(ValueError, match="together with class_names"):
        keras_vit.load_data((PATHS, labels))
    with pytest.raises(ValueError, match=r"received \['b'\]"):
        keras_vit.load_data((PATHS, labels), class_names=["a", "c"])


@pytest.mark.parametrize(
    "images", ["photos", b"photos", Path("photos"), dict.fromkeys(PATHS), set(PATHS), 3]
)
def test_what_has_no_order_is_refused(images):
    with pytest.raises(TypeError, match="Images must be a sequence"):
        by_position(images, "Images")


def test_tables_are_refused_with_what_to_pass():
    with pytest.raises(ValueError, match=r"one column.*table\['path'\]"):
        by_position(Table("path", "label"), "Images")
    column = Series(PATHS, range(6))
    with pytest.raises(TypeError, match="Pass the pair of columns"):
        keras_vit.load_data(column)


def test_pixels_stay_where_they_are():
    pixels = np.zeros((3, 4, 4))
    assert by_position(pixels, "Images") is pixels


def test_a_table_of_real_libraries():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"path": PATHS, "label": [0, 1, 0, 1, 1, 0]})
    frame = frame.sample(frac=1, random_state=3)
    data = keras_vit.load_data((frame["path"], frame["label"]), validation_fraction=0)
    assert list(data.train.pictures()) == frame["path"].tolist()
    assert data.train.labels.tolist() == frame["label"].tolist()
