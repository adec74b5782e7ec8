"""How far probabilities are from how often they are right."""

import numpy as np
import pytest

from keras_vit.calibration_error import expected_calibration_error


def from_the_paper(confidences, rights):
    """Equations 2 to 5 of arXiv:1706.04599, word by word."""
    count, total = len(confidences), 0.0
    for m in range(1, 16):
        members = [
            i
            for i, value in enumerate(confidences)
            if (m - 1) / 15 < value <= m / 15 or (m == 1 and value == 0)
        ]
        if members:
            accuracy = sum(bool(rights[i]) for i in members) / len(members)
            confidence = sum(confidences[i] for i in members) / len(members)
            total += len(members) / count * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_it_is_the_one_of_the_paper(count, rng):
    confidences = rng.uniform(size=count)
    rights = rng.uniform(size=count) < confidences**2
    found = expected_calibration_error(confidences, rights)
    assert found == pytest.approx(from_the_paper(confidences, rights))


def test_the_borders_of_the_bins_belong_to_one():
    confidences = np.array([0.0, 1.0, 0.2, 0.4])
    rights = np.array([False, True, True, False])
    found = expected_calibration_error(confidences, rights)
    assert found == pytest.approx(from_the_paper(confidences, rights))
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([0, 1])) == 0


def test_a_weight_of_two_is_two_answers(rng):
    confidences = rng.uniform(size=50)
    rights = rng.uniform(size=50) < 0.5
    twice = rng.integers(1, 3, 50)
    expected = expected_calibration_error(
        np.repeat(confidences, twice), np.repeat(rights, twice)
    )
    found = expected_calibration_error(confidences, rights, twice.astype(float))
    assert found == pytest.approx(expected)
