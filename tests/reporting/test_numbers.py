"""The numbers of a report are those of scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn import metrics
from sklearn.calibration import calibration_curve as sklearn_curve

from keras_vit.label_scores import precision_recall
from keras_vit.reporting.class_scores import (
    class_rows,
    confused_pairs,
    confusion_matrix,
    mean,
    near_order,
)
from keras_vit.reporting.curves import (
    at_temperature,
    best_temperature,
    calibration_curve,
    coverage_curve,
)
from keras_vit.reporting.matrix import blocks
from tests.one_backend import NO_BACKEND
from tests.test_calibration_error import from_the_paper

pytestmark = NO_BACKEND


def answered(rng, count=400, classes=7):
    """Return labels, logits and answers of a classifier that is too sure."""
    labels = rng.integers(0, classes - 1, count)  # The last class has no picture.
    logits = rng.normal(size=(count, classes)) * 2
    logits[np.arange(count), labels] += 2.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities


def test_precision_recall_and_f1_of_each_class(rng):
    labels, probabilities = answered(rng)
    answers = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, answers, 8)  # Class 7 has neither.
    np.testing.assert_array_equal(
        matrix, metrics.confusion_matrix(labels, answers, labels=range(8))
    )
    sums = (matrix.sum(axis=1), matrix.sum(axis=0))
    rows = class_rows([*"abcdefgh"], *sums, np.diag(matrix))
    expected = metrics.precision_recall_fscore_support(
        labels, answers, labels=range(8), zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        found = [getattr(row, name) for row in rows]
        known = np.array([np.nan if x is None else x for x in found])
        np.testing.assert_allclose(known, values)
        assert mean(found) == pytest.approx(np.nanmean(values))
    assert [row.num_images for row in rows] == expected[3].tolist()
    assert mean([None]) is None


def test_pairs_are_the_cells_beside_the_diagonal():
    matrix = np.array([[5, 2, 0], [2, 1, 1], [0, 0, 4]])
    labels, answers = np.repeat(
        np.indices((3, 3)).reshape(2, 9), matrix.ravel(), axis=1
    )
    pairs = confused_pairs(labels, answers, matrix.sum(axis=1))
    found = [(p.label, p.answer, p.count, p.share) for p in pairs]
    assert found == [(1, 0, 2, 0.5), (0, 1, 2, pytest.approx(2 / 7)), (1, 2, 1, 0.25)]


def test_classes_that_are_confused_come_to_stand_together(rng):
    """Five groups of four, in any order, and a class that is never confused."""
    group = np.append(np.repeat(np.arange(5), 4), 5)[rng.permutation(21)]
    same = group[:, None] == group
    matrix = np.where(same, rng.integers(3, 9, (21, 21)), 0) + 30 * np.eye(
        21, dtype=int
    )
    order = near_order(matrix)
    assert sorted(order) == list(range(21)) and group[order[-1]] == 5
    assert np.sum(np.diff(group[order]) != 0) == 5
    ordered = matrix[np.ix_(order, order)]
    places = blocks(ordered, most=9)
    inside = sum(int(ordered[a:b, a:b].sum()) for a, b in places)
    assert inside >= 0.9 * (ordered.sum() - 30) and len(places) <= 9


def test_without_a_mistake_the_order_stays():
    matrix = np.diag([3, 1, 2])
    assert near_order(matrix).tolist() == [0, 1, 2] and blocks(matrix) == []
    assert near_order(np.array([[4]])).tolist() == [0]


def test_the_calibration_curve_is_that_of_scikit_learn(rng):
    labels, probabilities = answered(rng)
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = calibration_curve(sure, right)
    shares, confidences = sklearn_curve(right, sure, n_bins=15)
    np.testing.assert_allclose([one.share for one in bins], shares)
    np.testing.assert_allclose([one.confidence for one in bins], confidences)
    error = sum(one.count * abs(one.share - one.confidence) for one in bins) / len(sure)
    assert error == pytest.approx(from_the_paper(sure, right))
    assert all(one.interval[0] <= one.share <= one.interval[1] for one in bins)


def test_coverage_is_the_accuracy_of_the_surest_answers(rng):
    sure = rng.random(60).round(1)  # Ties share a threshold.
    right = rng.random(60) < sure
    curve = coverage_curve(sure, right)
    for share, accuracy, limit in zip(
        curve.shares, curve.accuracies, curve.confidences, strict=True
    ):
        given = sure >= limit
        assert share == pytest.approx(given.mean())
        assert accuracy == pytest.approx(right[given].mean())
    assert curve.shares[-1] == 1 and curve.accuracies[-1] == right.mean()
    assert curve.shares[curve.at_share(0.5)] >= 0.5
    assert curve.shares[curve.at_share(1.0)] == 1


@pytest.mark.parametrize("several", [False, True])
def test_the_temperature_is_the_best(rng, several):
    labels, probabilities = answered(rng)
    if several:
        labels = rng.random(probabilities.shape) < probabilities**0.5
    value = best_temperature(probabilities, labels)

    def loss(power):
        found = at_temperature(probabilities, np.exp(power), several=several)
        if several:
            return metrics.log_loss(labels.ravel(), found.ravel())
        return metrics.log_loss(labels, found, labels=range(found.shape[1]))

    best = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    assert value == pytest.approx(np.exp(best.x), rel=1e-3)
    same = at_temperature(probabilities, 1.0, several=several)
    np.testing.assert_allclose(same, probabilities, atol=1e-6)


def test_precision_over_recall_is_that_of_scikit_learn(rng):
    labels, scores = rng.random(80) < 0.3, rng.random(80).round(1)
    precision, recall, thresholds = precision_recall(labels, scores)
    expected = metrics.precision_recall_curve(labels, scores)
    for found, one in zip((precision, recall), expected[:2], strict=True):
        np.testing.assert_allclose(found[::-1], one[:-1])
    np.testing.assert_allclose(thresholds[::-1], expected[2])
