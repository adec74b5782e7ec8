"""Accuracy by group and by part."""

from __future__ import annotations

import numpy as np

from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.intervals import wilson_interval
from keras_vit.pages.parts import (
    cell,
    interval_bar,
    name_cell,
    number_cell,
    section,
    table,
)
from keras_vit.reporting.wording import number_of, percent

_TALL = 14  # rows from which a table scrolls by itself


def breakdown_section(answers: PictureAnswers) -> str | None:
    """Return the accuracy of each group and part, None if there are none."""
    images, body = answers.readable, []
    if answers.parts is not None:
        body.append(_table("part", answers.parts.tolist(), answers.rights))
    if images is not None and images.groups is not None:
        names = images.group_names
        groups = [names[i] if i < len(names) else str(i) for i in images.groups]
        body.append(_table("group", groups, answers.rights))
    if not body:
        return None
    lead = (
        "A group that is much worse than the others, and by more than its interval, is "
        "where pictures are missing."
    )
    return section("groups", "By group and part", body, lead)


def _table(what: str, names: list[str], rights: np.ndarray) -> str:
    found, numbers = np.unique(names, return_inverse=True)
    counts = np.bincount(numbers)
    hits = np.bincount(numbers, rights)
    rows = []
    for i in np.argsort(hits / counts, kind="stable"):
        share, count = float(hits[i] / counts[i]), int(counts[i])
        low, high = wilson_interval(share, count)
        said = f"95% interval {percent(low)} to {percent(high)}"
        rows.append(
            [
                name_cell(str(found[i])),
                number_cell(count),
                number_cell(share, percent(share)),
                cell(interval_bar(share, low, high, said)),
            ]
        )
    return table(
        f"Accuracy of {number_of(len(found), what)}, the lowest first",
        [what, "pictures", "accuracy", "95% interval"],
        rows,
        kind="tall" if len(rows) > _TALL else "",
        sortable=True,
    )
