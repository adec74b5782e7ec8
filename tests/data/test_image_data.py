"""Opening data sets."""

import numpy as np
import pytest

import keras_vit

IMAGES = np.zeros((30, 8, 8), dtype="uint8")
LABELS = np.arange(30) % 3


def test_digits_hold_out_a_third():
    data = keras_vit.load_data("digits")
    assert len(data.test) == 599 == round(1797 / 3)
    assert data.held_out[0] == "test"


def test_parts_of_digits_are_disjoint_and_stratified():
    data = keras_vit.load_data("digits", seed=3)
    together = np.concatenate([part.indices for part in data.parts.values()])
    assert len(np.unique(together)) == len(together) == 1797
    share = np.bincount(data.test.labels) / np.bincount(data.test.all_labels)
    np.testing.assert_allclose(share, 1 / 3, atol=0.005)


def test_arrays_are_divided_and_numbered():
    data = keras_vit.load_data((IMAGES, LABELS), validation_fraction=0.1)
    assert data.class_names == ("0", "1", "2")
    assert (len(data.train), len(data.validation)) == (27, 3)


def test_parts_of_arrays_stay_as_they_are():
    pair = (IMAGES, LABELS)
    names = ["a", "b", "c"]
    data = keras_vit.load_data({"test": pair, "train": pair}, class_names=names)
    assert data.class_names == ("a", "b", "c")
    assert len(data.test) == 30 and len(data.train) + len(data.validation) == 30


def test_the_split_gives_the_same_parts_again():
    data = keras_vit.load_data("digits", seed=2, validation_fraction=0.1)
    again = keras_vit.load_data("digits", **data.split)
    assert again.summary() == data.summary()


@pytest.mark.parametrize("fraction", ["a", True, (0.1,)])
def test_a_share_that_is_no_number_is_refused(fraction):
    with pytest.raises(TypeError, match="must be a number"):
        keras_vit.load_data("digits", validation_fraction=fraction)


def test_class_names_are_for_arrays():
    with pytest.raises(ValueError, match="for arrays and lists only"):
        keras_vit.load_data("digits", class_names=list("abcdefghij"))


def test_nothing_is_held_out_if_asked():
    data = keras_vit.load_data((IMAGES, LABELS), validation_fraction=0)
    assert data.validation is None and data.held_out[0] == "train"


def test_the_parts_are_listed():
    data = keras_vit.load_data((IMAGES, LABELS))
    with pytest.raises(ValueError, match=r"are \['train', 'validation'\]"):
        data.part("test")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ({"test": (IMAGES, LABELS)}, {}, "The parts must be 'train'"),
        ({"train": IMAGES}, {}, r"must be \(images, labels\)"),
        ((IMAGES, LABELS), {"class_names": ["a", "b"]}, "one class name per class"),
        ((IMAGES, LABELS), {"validation_fraction": 1.5}, "below 1"),
    ],
)
def test_data_that_does_not_fit_is_refused(source, options, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.load_data(source, **options)


def test_labels_with_a_gap_need_class_names():
    labels = LABELS + 1
    with pytest.raises(ValueError, match="none with the label 0"):
        keras_vit.load_data((IMAGES, labels))
    data = keras_vit.load_data((IMAGES, labels), class_names=list("abcd"))
    assert data.num_classes == 4


def test_class_names_must_differ():
    with pytest.raises(ValueError, match="must all differ"):
        keras_vit.load_data((IMAGES, LABELS), class_names=["a", "b", "a"])


def test_another_kind_of_source_is_refused():
    with pytest.raises(TypeError, match="received list"):
        keras_vit.load_data([IMAGES, LABELS])
    with pytest.raises(ValueError, match="seed must be"):
        keras_vit.load_data("digits", seed=-1)


def test_folds_hold_out_each_image_once(rng):
    pixels = rng.integers(0, 256, (30, 8, 8), dtype="uint8")
    folds = [keras_vit.load_data((pixels, LABELS), folds=5, fold=f) for f in range(5)]
    held_out = np.concatenate([data.validation.indices for data in folds])
    np.testing.assert_array_equal(np.sort(held_out), np.arange(30))
    for data in folds:
        assert not set(data.train.indices) & set(data.validation.indices)
        assert data.split["folds"] == 5 and data.test is None
        again = keras_vit.load_data((pixels, LABELS), **data.split)
        assert again.summary() == data.summary()
        assert np.bincount(data.validation.labels).tolist() == [2, 2, 2]


def test_digits_have_folds():
    data = keras_vit.load_data("digits", folds=3, fold=2)
    assert len(data.validation) == 599 and data.test is None


def test_a_test_part_stays_beside_folds(rng):
    pixels = rng.integers(0, 256, (60, 8, 8), dtype="uint8")
    parts = {"train": (pixels[:30], LABELS), "test": (pixels[30:], LABELS)}
    data = keras_vit.load_data(parts, folds=3, fold=0)
    assert len(data.train) == 20 and len(data.test) == 30
    with pytest.raises(ValueError, match="has one of its own"):
        parts = {"train": parts["train"], "validation": parts["test"]}
        keras_vit.load_data(parts, folds=3, fold=0)


def test_groups_of_arrays(rng):
    pixels = rng.integers(0, 256, (30, 8, 8), dtype="uint8")
    owners = [f"patient {number // 3}" for number in range(30)]
    data = keras_vit.load_data((pixels, LABELS), groups=owners, folds=5, fold=1)
    assert len(data.validation) == 6
    assert not set(data.validation.groups) & set(data.train.groups)
    for wrong in (owners[:5], [*owners[:-1], ""], [*owners[:-1], None]):
        with pytest.raises(ValueError, match="one group per image"):
            keras_vit.load_data((pixels, LABELS), groups=wrong)
    with pytest.raises(ValueError, match="with the parts"):
        parts = {"train": (pixels, LABELS), "test": (pixels, LABELS)}
        keras_vit.load_data(parts, groups=owners)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 5}, "Pass both"),
        ({"fold": 0}, "Pass both"),
        ({"folds": 1, "fold": 0}, "folds must be a whole number of at least 2"),
        ({"folds": 5, "fold": 5}, "from 0 to 4 of 5 folds"),
        ({"folds": 5, "fold": -1}, "fold must be a whole number of at least 0"),
        ({"folds": 5, "fold": 0, "test_fraction": 0.1}, "exclude each other"),
        ({"folds": 11, "fold": 0}, "received 1 different ones of class '0'"),
    ],
)
def test_folds_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.load_data((IMAGES, LABELS), **options)
