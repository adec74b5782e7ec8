"""The temperature that makes probabilities say how often they are right."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from keras_vit.heads.temperature import (
    calibration_error,
    find_temperature,
    logits_of,
)
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND
COUNT, CLASSES = 3000, 4


def drawn(rng, kind):
    """Logits, and labels that are drawn from their probabilities."""
    logits = 2.0 * rng.normal(size=(COUNT, CLASSES))
    if kind == "sigmoid":
        return logits, (rng.uniform(size=logits.shape) < expit(logits)).astype("f4")
    sums = softmax(logits, axis=1).cumsum(axis=1)
    labels = (rng.uniform(size=(COUNT, 1)) > sums).sum(axis=1)
    return logits, np.eye(CLASSES, dtype="f4")[np.minimum(labels, CLASSES - 1)]


def find(logits, targets, kind, weights=None):
    weights = np.ones(len(logits)) if weights is None else weights
    folds = np.arange(len(logits)) % 5
    return find_temperature(logits, targets, weights, folds, kind)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("true", [0.4, 3.0])
def test_what_logits_were_multiplied_by_is_found(rng, kind, true):
    logits, targets = drawn(rng, kind)
    found = find(true * logits, targets, kind)
    assert found.value == pytest.approx(true, rel=0.1)
    assert found.error < 0.5 * found.error_before
    assert found.loss < found.loss_before


def test_it_has_the_lowest_loss_of_all(rng):
    logits, targets = drawn(rng, "softmax")
    found = find(2.5 * logits, targets, "softmax").value

    def loss(temperature):
        return -(targets * log_softmax(2.5 * logits / temperature, axis=1)).sum()

    others = np.exp(np.linspace(-1, 3, 2001))
    assert loss(found) <= min(map(loss, others)) * (1 + 1e-9)


def test_probabilities_that_are_right_stay(rng):
    for kind in ("softmax", "sigmoid"):
        logits, targets = drawn(rng, kind)
        found = find(logits, targets, kind)
        assert found.value == pytest.approx(1.0, rel=0.05)
        assert found.error <= found.error_before and found.loss <= found.loss_before


def test_no_chance_makes_them_worse(rng):
    """Of few pictures another temperature is taken only where it holds for others."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        logits, targets = drawn(rng, "softmax")
        found = find(logits[:20], targets[:20], "softmax")
        assert found.error <= found.error_before and found.loss <= found.loss_before
        assert found.value == 1.0 or found.error < found.error_before
    alone = find(logits[:1], targets[:1], "softmax")
    assert np.isfinite(alone.value)


def test_weights_count_as_copies(rng):
    logits, targets = drawn(rng, "softmax")
    weights = rng.integers(1, 3, COUNT)
    expected = find(
        np.repeat(3 * logits, weights, axis=0),
        np.repeat(targets, weights, axis=0),
        "softmax",
    )
    found = find(3 * logits, targets, "softmax", weights.astype(float))
    assert found.value == pytest.approx(expected.value, rel=1e-3)


def test_logits_come_back_from_probabilities(rng):
    logits, _ = drawn(rng, "softmax")
    back = logits_of(softmax(logits, axis=1), "softmax")
    np.testing.assert_allclose(softmax(back / 3, axis=1), softmax(logits / 3, axis=1))
    np.testing.assert_allclose(logits_of(expit(logits), "sigmoid"), logits, rtol=1e-4)
    for kind in ("softmax", "sigmoid"):
        assert np.isfinite(logits_of(np.array([[0.0, 1.0]], "f4"), kind)).all()


def test_the_error_of_yes_and_no_is_over_all_classes(rng):
    logits, targets = drawn(rng, "sigmoid")
    ones = np.ones(COUNT)
    assert calibration_error(logits, targets, ones, "sigmoid") < 0.02
    assert calibration_error(4 * logits, targets, ones, "sigmoid") > 0.08
