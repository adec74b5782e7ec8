"""Logistic regression against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from keras_vit.heads import logistic_regression
from keras_vit.heads.cross_validation import probabilities
from keras_vit.heads.logistic_regression import Standardized, fit_path
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND


def drawn(count: int, width: int, classes: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    means = rng.normal(size=(classes, width)) * 0.5
    features = means[labels] + rng.normal(size=(count, width))
    scale = np.exp(rng.normal(size=width))  # Of other sizes, and not around zero.
    return (features * scale + 3).astype("float32"), labels


def fitted(features, targets, strength, kind="softmax", weights=None):
    weights = np.ones(len(features)) if weights is None else weights
    standardized = Standardized.of(features)
    return next(fit_path(standardized, targets, [strength], weights, kind, 1e-6))


@pytest.mark.parametrize("shape", [(300, 20), (40, 200)])
@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_the_minimum_is_that_of_scikit_learn(shape, strength):
    features, labels = drawn(*shape, classes=4)
    found = fitted(features, np.eye(4)[labels], strength).logits(features)
    scaled = StandardScaler().fit_transform(features.astype("float64"))
    theirs = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=5000)
    expected = theirs.fit(scaled, labels).predict_proba(scaled)
    np.testing.assert_allclose(probabilities(found, "softmax"), expected, atol=3e-3)


def test_blocks_of_pictures_change_nothing_but_rounding(monkeypatch):
    features, labels = drawn(90, 10, classes=3)
    weights = np.linspace(0.5, 1.5, 90)
    whole = fitted(features, np.eye(3)[labels], 1.0, weights=weights)
    monkeypatch.setattr(logistic_regression, "_BLOCK_BYTES", 7 * 10 * 4)  # 7 each
    parts = fitted(features, np.eye(3)[labels], 1.0, weights=weights)
    np.testing.assert_allclose(parts.kernel, whole.kernel, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(parts.bias, whole.bias, rtol=1e-3, atol=1e-4)


def test_the_weight_of_a_picture_counts_as_often():
    features, labels = drawn(90, 10, classes=3)
    weights = 1.0 + (labels == 1)
    twice = np.concatenate([features, features[labels == 1]])
    names = np.concatenate([labels, labels[labels == 1]])
    standardized = Standardized.of(features)
    found = next(fit_path(standardized, np.eye(3)[labels], [1.0], weights))
    again = Standardized(
        (twice - standardized.mean.astype("float32"))
        / standardized.scale.astype("float32"),
        None,
        standardized.mean,
        standardized.scale,
    )
    expected = next(fit_path(again, np.eye(3)[names], [1.0], np.ones(len(twice))))
    np.testing.assert_allclose(
        found.logits(features), expected.logits(features), atol=1e-2
    )


def test_several_classes_of_a_picture_are_each_a_yes_or_no():
    features, labels = drawn(200, 8, classes=3)
    targets = np.eye(3)[labels]
    targets[:, 2] = features[:, 0] > 3  # Whatever the others are.
    found = fitted(features, targets, 1.0, "sigmoid").logits(features)
    scaled = StandardScaler().fit_transform(features.astype("float64"))
    for k in range(3):
        theirs = LogisticRegression(tol=1e-8, max_iter=5000).fit(scaled, targets[:, k])
        expected = theirs.predict_proba(scaled)[:, 1]
        np.testing.assert_allclose(
            probabilities(found, "sigmoid")[:, k], expected, atol=3e-3
        )


def test_a_feature_that_never_changes_counts_nothing():
    features, labels = drawn(60, 5, classes=2)
    features[:, 2] = 7.0
    linear = fitted(features, np.eye(2)[labels], 1.0)
    assert np.isfinite(linear.kernel).all()
    np.testing.assert_allclose(linear.kernel[2], 0.0, atol=1e-6)
