"""What the report of a head says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from keras_vit.heads.report import CurvePoint, HeadReport
from tests.one_backend import NO_BACKEND

pytestmark = NO_BACKEND


@pytest.mark.parametrize(
    "accuracies, margin, said",
    [
        ((0.80, 0.90), 0.02, "more photographs would help."),
        ((0.88, 0.90), 0.03, "may help a little"),
        ((0.895, 0.90), 0.02, "of this kind help little"),
        ((0.74, 0.75), 0.088, "± 0.088: too few pictures to tell"),
    ],
)
def test_the_end_of_the_curve_says_whether_more_pictures_help(accuracies, margin, said):
    curve = [
        CurvePoint(share=share, num_images=10, accuracy=accuracy, margin=margin)
        for share, accuracy in zip((0.5, 1.0), accuracies, strict=True)
    ]
    report: Any = SimpleNamespace(curve=curve)
    assert said in HeadReport.would_more_help(report)
