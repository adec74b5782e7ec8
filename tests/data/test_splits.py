"""Stratified splits."""

import numpy as np
import pytest

from keras_vit.data.splits import stratified_split

LABELS = np.repeat([0, 1, 2], [60, 30, 9])


def test_parts_are_disjoint_and_complete():
    parts = stratified_split(LABELS, {"validation": 0.2, "test": 1 / 3})
    together = np.concatenate(list(parts.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(len(LABELS)))


def test_each_part_has_its_share_of_each_class():
    parts = stratified_split(LABELS, {"validation": 0.2, "test": 1 / 3})
    assert np.bincount(LABELS[parts["validation"]]).tolist() == [12, 6, 2]
    assert np.bincount(LABELS[parts["test"]]).tolist() == [20, 10, 3]


def test_the_seed_decides():
    first = stratified_split(LABELS, {"test": 0.5}, seed=1)["test"]
    again = stratified_split(LABELS, {"test": 0.5}, seed=1)["test"]
    other = stratified_split(LABELS, {"test": 0.5}, seed=2)["test"]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_class_with_one_image_stays_in_train():
    parts = stratified_split(np.array([0, 0, 0, 0, 1]), {"test": 0.9})
    assert 4 in parts["train"] and 0 < len(parts["test"]) < 4


@pytest.mark.parametrize(
    "fractions", [{"test": 1.0}, {"a": 0.5, "b": 0.5}, {"a": -0.1}]
)
def test_shares_that_leave_nothing_are_refused(fractions):
    with pytest.raises(ValueError, match="Leave something to train on"):
        stratified_split(LABELS, fractions)
