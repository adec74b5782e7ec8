"""Stratified splits."""

import numpy as np
import pytest

from keras_vit.data.splits import fold_numbers, grouped_split, stratified_split

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


def pictures(rng, count=400, classes=4, groups=60):
    """Return labels, groups and contents of pictures, some of which are equal."""
    contents = rng.integers(0, 2**63, count).astype("uint64")
    labels, owners = rng.integers(0, classes, count), rng.integers(0, groups, count)
    contents[::20] = contents[1::20]
    labels[::20], owners[::20] = labels[1::20], owners[1::20]
    return labels, owners, contents


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_hold_each_picture_once_and_each_class_evenly(grouped, rng):
    labels, owners, contents = pictures(rng)
    groups = owners if grouped else None
    folds = fold_numbers(labels, 5, 0, contents, groups)
    counts = np.array([np.bincount(labels[folds == fold]) for fold in range(5)])
    assert counts.sum() == 400
    assert np.ptp(counts, axis=0).max() <= (8 if grouped else 4)
    assert (folds[::20] == folds[1::20]).all()
    if grouped:
        together = {(owner, fold) for owner, fold in zip(owners, folds, strict=True)}
        assert len(together) == len(set(owners))


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_follow_from_contents_and_seed_alone(grouped, rng):
    labels, owners, contents = pictures(rng)
    order = rng.permutation(len(labels))
    groups = (owners, 99 - owners[order]) if grouped else (None, None)
    first = fold_numbers(labels, 5, 3, contents, groups[0])
    # Other numbers of classes and groups are other names.
    again = fold_numbers(3 - labels[order], 5, 3, contents[order], groups[1])
    np.testing.assert_array_equal(first[order], again)
    other = fold_numbers(labels, 5, 4, contents, groups[0])
    assert (first != other).any()


def test_folds_are_as_even_as_those_of_scikit_learn(rng):
    model_selection = pytest.importorskip("sklearn.model_selection")
    labels, owners, _ = pictures(rng)

    def unevenness(parts):
        counts = [np.bincount(labels[part], minlength=4) for part in parts]
        return np.std(counts / np.bincount(labels), axis=0).mean()

    theirs = model_selection.StratifiedGroupKFold(5).split(labels, labels, owners)
    ours = fold_numbers(labels, 5, groups=owners)
    found = unevenness([np.flatnonzero(ours == fold) for fold in range(5)])
    assert found <= 1.5 * unevenness([part for _, part in theirs])


@pytest.mark.parametrize("with_contents", [False, True])
def test_shares_of_whole_groups(with_contents, rng):
    labels, owners, contents = pictures(rng)
    known = contents if with_contents else None
    fractions = {"validation": 0.2, "test": 0.1}
    parts = grouped_split(labels, owners, fractions, 0, known)
    together = np.concatenate(list(parts.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(400))
    sizes = {name: len(part) for name, part in parts.items()}
    assert abs(sizes["validation"] - 80) < 10 and abs(sizes["test"] - 40) < 10
    for name in fractions:
        assert not set(owners[parts["train"]]) & set(owners[parts[name]])
    assert not set(owners[parts["validation"]]) & set(owners[parts["test"]])


def test_a_class_of_one_group_is_learned():
    labels, owners = np.repeat([0, 1], [90, 10]), np.repeat(np.arange(10), 10)
    for seed in range(20):
        parts = grouped_split(labels, owners, {"validation": 0.4}, seed)
        assert 9 in owners[parts["train"]]


def test_groups_with_equal_pictures_are_one_group():
    labels, owners = np.tile([0, 1], 20), np.repeat(np.arange(10), 4)
    contents = np.arange(40, dtype="uint64") * 1_000_003
    contents[0] = contents[4] = contents[9]
    folds = fold_numbers(labels, 2, 0, contents, owners)
    assert len(set(folds[owners <= 2])) == 1
    contents[::4] = 7
    with pytest.raises(ValueError, match=r"received 1 \(9 groups share pictures\)"):
        fold_numbers(labels, 2, 0, contents, owners)


def test_folds_that_cannot_be_dealt_are_refused():
    labels = np.tile([0, 1], 10)
    with pytest.raises(ValueError, match="each of 11 folds, received 10 .* class 'a'"):
        fold_numbers(labels, 11, class_names=("a", "b"))
    with pytest.raises(ValueError, match="groups for each of 5 folds, received 4"):
        fold_numbers(labels, 5, groups=np.arange(20) // 5)
    with pytest.raises(ValueError, match="in 2 groups or more, received class"):
        fold_numbers(labels, 2, groups=labels)
    with pytest.raises(ValueError, match="one class in fold"):
        # Three groups: the class 1 is in two of them.
        fold_numbers(np.array([0, 0, 0, 1, 0, 1]), 3, groups=np.arange(6) // 2)
    with pytest.raises(ValueError, match="needs a group, received 1"):
        grouped_split(labels, np.zeros(20), {"validation": 0.2})
    with pytest.raises(ValueError, match="so that each class can be learned"):
        grouped_split(labels, labels, {"validation": 0.2})
    with pytest.raises(ValueError, match="Leave something to train on"):
        grouped_split(labels, labels, {"validation": 1.0})
