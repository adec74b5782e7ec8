"""How far the probabilities of a report can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_vit.calibration_error import (
    NUM_BINS,
    bin_numbers,
    expected_calibration_error,
)
from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.pages.chart import Chart, legend
from keras_vit.pages.parts import cell, number_cell, section, table, unfold
from keras_vit.reporting.curves import (
    CalibrationBin,
    at_temperature,
    best_temperature,
    calibration_curve,
    coverage_curve,
)
from keras_vit.reporting.wording import percent

_CLEAR = 0.01  # a difference between confidence and accuracy below is no matter
_COVERED = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def trust_section(answers: PictureAnswers) -> str:
    """Return calibration, and accuracy where only the surest answers are given."""
    confidences, rights = chosen(answers)
    bins = calibration_curve(confidences, rights)
    charts = [_calibration_chart(bins), _histogram(confidences, rights)]
    body = [f'<div class="charts">{"".join(charts)}</div>', _bins_table(bins)]
    lead = f"{how_sure(answers)} {_temperature(answers)}"
    return section("calibration", "Can its probabilities be trusted?", body, lead)


def chosen(answers: PictureAnswers) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences that are judged, and which of them are right.

    Those of the likeliest class; of several labels each yes, of each class.
    """
    if answers.is_multi_label:
        return answers.probabilities.ravel(), answers.labels.ravel()
    return answers.confidences, answers.rights


def how_sure(answers: PictureAnswers) -> str:
    """Return in words whether a model is too sure."""
    confidences, rights = chosen(answers)
    sure, right = float(confidences.mean()), float(rights.mean())
    said = f"On average it is {percent(sure)} sure and right in {percent(right)}: "
    if answers.is_multi_label:
        said = (
            f"On average it gives a label {percent(sure)}, and {percent(right)} of all "
            "labels are there: "
        )
    if abs(sure - right) < _CLEAR:
        return said + "as sure as it may be."
    return said + ("it is too sure." if sure > right else "it could be surer.")


def _temperature(answers: PictureAnswers) -> str:
    """Return what one temperature would change."""
    several = answers.is_multi_label
    if answers.rights.all() or answers.probabilities.shape[1] < 2 - several:
        return "Without mistakes, nothing says how to change that."
    value = best_temperature(answers.probabilities, answers.labels)
    found = at_temperature(answers.probabilities, value, several=several)
    confidences, rights = chosen(answers)
    before = expected_calibration_error(confidences, rights)
    after = expected_calibration_error(
        found.ravel() if several else found.max(axis=1), rights
    )
    said = f"The expected calibration error is {before:.3f}"
    if after >= before:
        return f"{said}, and no temperature would make it lower."
    return (
        f"{said}; with logits divided by a temperature of {value:.2f}, the best for "
        f"these pictures, it would be {after:.3f}. <code>keras-vit calibrate</code> "
        "finds one on held-out pictures and writes it into the model."
    )


def _calibration_chart(bins: Sequence[CalibrationBin]) -> str:
    chart = Chart(
        x=(0, 1),
        y=(0, 1),
        x_label="how sure it is",
        y_label="how often that is right",
        percent=(True, True),
    )
    most = max(one.count for one in bins)
    parts = [chart.line([0, 1], [0, 1], "ideal")]
    for one in bins:
        parts.append(chart.whisker(one.confidence, *one.interval))
    for one in bins:
        said = (
            f"{percent(one.confidence)} sure, {percent(one.share)} right, {one.count:,}"
        )
        radius = 2.5 + 3 * (one.count / most) ** 0.5
        parts.append(chart.dot(one.confidence, one.share, "main", said, radius))
    said = "Calibration curve: how often answers are right, by how sure the model is."
    entries = legend(
        [("main", "pictures, 95% interval"), ("ideal", "as sure as right")]
    )
    return f'<figure class="plot">{chart.svg(parts, said)}{entries}</figure>'


def _histogram(confidences: np.ndarray, rights: np.ndarray) -> str:
    numbers = bin_numbers(confidences)
    counts = np.bincount(numbers, minlength=NUM_BINS)
    wrong = np.bincount(numbers, ~rights.astype(bool), NUM_BINS)
    chart = Chart(
        x=(0, 1),
        y=(0, float(counts.max()) * 1.05),
        x_label="how sure it is",
        y_label="answers",
        percent=(True, False),
    )
    parts = []
    for i in np.flatnonzero(counts):
        low, high = i / NUM_BINS, (i + 1) / NUM_BINS
        said = f"{counts[i]:,} answers, {int(wrong[i]):,} wrong"
        parts.append(chart.column(low, high, float(counts[i]), "hit", said))
        if wrong[i]:
            parts.append(chart.column(low, high, float(wrong[i]), "miss", said))
    said = "Histogram: how many answers are how sure, and how many of them are wrong."
    entries = legend([("wrong", "wrong"), ("other", "right")])
    return f'<figure class="plot">{chart.svg(parts, said)}{entries}</figure>'


def _bins_table(bins: Sequence[CalibrationBin]) -> str:
    rows = [
        [
            cell(f"{percent(one.low, 0)} to {percent(one.high, 0)}"),
            number_cell(one.count),
            number_cell(one.confidence, percent(one.confidence)),
            number_cell(one.share, percent(one.share)),
            cell(f"{percent(one.interval[0])} to {percent(one.interval[1])}"),
        ]
        for one in bins
    ]
    head = ["how sure", "answers", "mean", "right", "95% interval"]
    return unfold("The numbers", [table("Calibration curve", head, rows)])


def coverage_section(answers: PictureAnswers, other: PictureAnswers | None) -> str:
    """Return how often answers are right if a person takes the least sure ones."""
    curve = coverage_curve(answers.confidences, answers.rights)
    curves = [("main", curve)]
    if other is not None:
        curves.append(("other", coverage_curve(other.confidences, other.rights)))
    lowest = min(float(one.accuracies.min()) for _, one in curves)
    lowest = min(lowest, 0.98)
    chart = Chart(
        x=(0, 1),
        y=(lowest - 0.08 * (1 - lowest), 1.0),
        x_label="pictures that get an answer",
        y_label="answers that are right",
        percent=(True, True),
    )
    parts = [chart.line(one.shares, one.accuracies, kind) for kind, one in curves[::-1]]
    said = "Coverage curve: accuracy of the answers that are given, by their share."
    drawn = chart.svg(parts, said)
    if other is not None:
        drawn += legend([("main", "this model"), ("other", "the other model")])
    rows = []
    for place in dict.fromkeys(curve.at_share(share) for share in _COVERED):
        reached, accuracy = curve.shares[place], curve.accuracies[place]
        rows.append(
            [
                number_cell(reached, percent(float(reached))),
                number_cell(accuracy, percent(float(accuracy))),
                number_cell(
                    curve.confidences[place], f"{curve.confidences[place]:.3f}"
                ),
            ]
        )
    head = ["answered", "right", "threshold"]
    body = [
        f'<div class="charts"><figure class="plot">{drawn}</figure>'
        f"{table('Answers that are given', head, rows)}</div>"
    ]
    lead = (
        "If the model answers only where it is sure, and a person looks at the rest, "
        "more of the answers are right."
    )
    return section("coverage", "Leave the unsure ones to a person", body, lead)
