"""When features are of none of the classes."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from keras_vit.heads.rejection import fit_distance, fit_rejection, ledoit_wolf
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND
COUNT, WIDTH, CLASSES = 600, 12, 3


def drawn(seed, count=COUNT, width=WIDTH):
    """Features of classes that have the same spread, and their labels."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(width, width))
    labels = rng.integers(0, CLASSES, count)
    labels[:CLASSES] = np.arange(CLASSES)
    centres = 4 * np.random.default_rng(8).normal(size=(CLASSES, width))
    rows = (centres[labels] + rng.normal(size=(count, width))) @ mixing + 3.0
    return rows.astype("float32"), labels


@pytest.mark.parametrize(("count", "width"), [(300, 8), (20, 50)])
def test_the_covariance_is_shrunk_as_scikit_learn_does(rng, count, width):
    rows = rng.normal(size=(count, width)) * np.linspace(1, 3, width)
    rows -= rows.mean(axis=0)
    share, mean = ledoit_wolf(rows)
    peer = LedoitWolf(assume_centered=True).fit(rows)
    assert share == pytest.approx(peer.shrinkage_, rel=1e-6)
    assert mean == pytest.approx(np.trace(peer.covariance_) / width)


def test_it_is_the_mahalanobis_distance_to_the_nearest_mean():
    rows, labels = drawn(0)
    found = fit_distance(rows, labels)
    scale = rows.std(axis=0, dtype="float64")
    scaled = rows / scale
    means = np.stack([scaled[labels == k].mean(axis=0) for k in range(CLASSES)])
    peer = LedoitWolf(assume_centered=True).fit(scaled - means[labels])
    away = scaled[:, None] - means
    expected = np.einsum("nkd,de,nke->nk", away, peer.precision_, away).min(axis=1)
    np.testing.assert_allclose(found.squared(rows), expected, rtol=1e-4)


def test_more_features_than_pictures_are_measured_in_the_span_of_the_pictures():
    rows, labels = drawn(0, count=40, width=300)
    found = fit_distance(rows, labels)
    assert found.kernel.shape[1] <= 40
    assert np.isfinite(found.squared(drawn(1, 40, 300)[0])).all()


def test_most_directions_of_many_features_are_left_out():
    rows, labels = drawn(0, count=500, width=200)
    assert fit_distance(rows, labels).kernel.shape == (200, 128)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_so_many_new_pictures_are_rejected_as_was_asked(rate):
    rows, labels = drawn(0, 2000)
    found = fit_rejection(rows, labels, rate, folds=np.arange(len(rows)) % 5)
    assert found.false_alarms.observed <= rate
    assert found.false_alarms.observed > rate - 2 / len(rows)
    shares = [
        np.mean(found.distance.squared(drawn(seed, 2000)[0]) > 1)
        for seed in range(1, 6)
    ]
    error = np.sqrt(rate * (1 - rate) / 2000)
    assert np.mean(shares) == pytest.approx(rate, abs=4 * error)


def test_held_out_pictures_may_set_the_threshold():
    (rows, labels), (others, _) = drawn(0), drawn(1)
    found = fit_rejection(rows, labels, 0.05, held_out=others)
    assert np.mean(found.distance.squared(others) > 1) == found.false_alarms.observed
    assert found.false_alarms.num_images == COUNT


def test_what_lies_elsewhere_is_rejected():
    rows, labels = drawn(0)
    found = fit_rejection(rows, labels, 0.05, folds=np.arange(COUNT) % 5)
    between = rows[labels == 0][:50] + rows[labels == 1][:50] - 3.0
    assert np.mean(found.distance.squared(between) > 1) > 0.9


def test_the_most_likely_answer_is_none_exactly_above_the_threshold(rng):
    rows, labels = drawn(0)
    found = fit_rejection(rows, labels, 0.1, folds=np.arange(COUNT) % 5)
    new = np.concatenate([drawn(1)[0], 10 * drawn(2)[0]])
    logits = rng.normal(size=(len(new), CLASSES))
    whole = found.with_none(logits, new)
    is_far = found.distance.squared(new) > 1
    np.testing.assert_array_equal(whole.argmax(axis=1) == CLASSES, is_far)
    assert 0 < is_far.mean() < 1
    odds = whole[:, CLASSES] - whole[:, :CLASSES].max(axis=1)
    assert np.exp(np.median(odds[:COUNT])) == pytest.approx(0.01, rel=0.5)


def test_too_few_pictures_for_so_small_a_share_are_refused():
    rows, labels = drawn(0, 30)
    folds = np.arange(30) % 5
    with pytest.raises(ValueError, match="at least 99 held-out ones, received 30"):
        fit_rejection(rows, labels, 0.01, folds=folds)
    assert fit_rejection(rows, labels, 0.05, folds=folds).false_alarms.observed == 0


def test_a_class_of_one_picture_and_constant_features_are_no_harm():
    rows, labels = drawn(0, 40)
    rows[:, 3] = 1.0
    labels[labels == 2] = 1
    labels[0] = 2
    found = fit_rejection(rows, labels, 0.1, folds=np.arange(40) % 4)
    assert np.isfinite(found.distance.squared(rows)).all()
    same = np.ones((2, WIDTH))
    assert np.isfinite(fit_distance(same, np.arange(2)).squared(same)).all()
