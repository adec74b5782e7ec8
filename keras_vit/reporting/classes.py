"""The classes of a report: how good each is, and what it is taken for."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from keras_vit.pages.parts import cell, name_cell, number_cell, section, table
from keras_vit.reporting.class_scores import ClassRow, Confusions, mean, near_order
from keras_vit.reporting.matrix import draw_matrix
from keras_vit.reporting.wording import number_of, percent

_TALL = 14  # rows from which a table scrolls by itself


def classes_section(confusions: Confusions) -> str:
    """Return precision, recall, F1 and number of pictures of each class."""
    rows, matrix = confusions.rows, confusions.matrix
    names = [row.name for row in rows]
    listed = [row for row in rows if row.num_images or row.num_answers]
    listed.sort(key=lambda row: (row.f1 is None, row.f1, row.name))
    body = [
        table(
            f"{number_of(len(listed), 'class', 'classes')}, the hardest first",
            ["class", "pictures", "precision", "recall", "F1", "mostly taken for"],
            [_cells(row, matrix, names) for row in listed],
            kind="tall" if len(listed) > _TALL else "",
            sortable=True,
        ),
        f'<p class="note">Mean of the classes: precision '
        f"{percent(mean([row.precision for row in rows]))}, recall "
        f"{percent(mean([row.recall for row in rows]))}, F1 "
        f"{percent(mean([row.f1 for row in rows]))}.</p>",
    ]
    silent = len(rows) - len(listed)
    if silent:
        none = number_of(silent, "class has", "classes have")
        body.append(f'<p class="note">{none} neither pictures nor answers.</p>')
    lead = (
        "Precision: how many of the answers are right. Recall: how many of the "
        "pictures are found. F1 is between both."
    )
    return section("classes", "Class by class", body, lead)


def _cells(row: ClassRow, matrix: np.ndarray, names: Sequence[str]) -> list[str]:
    shares = (row.precision, row.recall, row.f1)
    return [
        name_cell(row.name),
        number_cell(row.num_images),
        *(number_cell(x, percent(x), bar_of=x) for x in shares),
        cell(_mostly(row, matrix, names)),
    ]


def _mostly(row: ClassRow, matrix: np.ndarray, names: Sequence[str]) -> str:
    others = matrix[row.number].copy()
    others[row.number] = 0
    if not others.any():
        return '<span class="quiet">nothing</span>'
    most = int(others.argmax())
    return f'{escape(names[most])} <span class="quiet">{int(others[most]):,}</span>'


def matrix_section(confusions: Confusions) -> str:
    """Return the confusion matrix of the classes that have pictures or answers."""
    rows, matrix = confusions.rows, confusions.matrix
    used = np.array([row.number for row in rows if row.num_images or row.num_answers])
    inside = matrix[np.ix_(used, used)]
    names = [rows[i].name for i in used]
    order = np.arange(len(used)) if len(used) < 4 else near_order(inside)
    lead = "What is grey is right, what has colour is not; strong is often."
    if len(used) >= 4:
        lead += " Classes that are confused stand side by side."
    body = [draw_matrix(inside, names, order)]
    return section("confusions", "Confusion matrix", body, lead)
