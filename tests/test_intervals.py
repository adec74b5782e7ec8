"""Intervals and tests of counted shares, against SciPy."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from keras_vit.intervals import mcnemar, paired_difference, wilson_interval
from tests.one_backend import NO_BACKEND

pytestmark = NO_BACKEND


@pytest.mark.parametrize(("right", "count"), [(0, 5), (3, 7), (599, 599), (50, 1000)])
def test_the_interval_is_that_of_wilson(right, count):
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right / count, count) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 5), (7, 3), (40, 41), (900, 1100)])
def test_mcnemar_is_the_exact_binomial_test(a, b):
    expected = binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(expected, rel=1e-9)


def test_a_paired_difference_has_the_variance_of_matched_pairs():
    difference, low, high = paired_difference(10, 25, 200)
    assert difference == pytest.approx(0.075)
    half = 1.96 * math.sqrt((10 + 25) - (25 - 10) ** 2 / 200) / 200
    assert (low, high) == pytest.approx((0.075 - half, 0.075 + half))
    assert paired_difference(0, 0, 5) == (0, 0, 0)
