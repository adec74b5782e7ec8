"""The classes of a report: how good each is, and what it is taken for."""

from __future__ import annotations

from html import escape

import numpy as np

from keras_vit.pages.parts import cell, name_cell, number_cell, section, table
from keras_vit.reporting.class_scores import ClassRow, Confusions, mean, near_order
from keras_vit.reporting.matrix import draw_matrix
from keras_vit.reporting.wording import number_of, percent

_TALL = 14  # rows from which a table scrolls by itself
MOST_ROWS = 1000  # of a table of classes: a page does not grow without end


def classes_section(confusions: Confusions) -> str:
    """Return precision, recall, F1 and number of pictures of each class."""
    rows, taken = confusions.rows, _most_taken(confusions)
    listed = [row for row in rows if row.num_images or row.num_answers]
    listed.sort(key=lambda row: (row.f1 is None, row.f1, row.name))
    total, listed = len(listed), listed[:MOST_ROWS]
    said = number_of(len(listed), "class", "classes")
    said += f" of {total:,}" * (total > len(listed))
    body = [
        table(
            f"{said}, the hardest first",
            ["class", "pictures", "precision", "recall", "F1", "mostly taken for"],
            [_cells(row, taken.get(row.number)) for row in listed],
            kind="tall" if len(listed) > _TALL else "",
            sortable=True,
        ),
        f'<p class="note">Mean of the classes: precision '
        f"{percent(mean([row.precision for row in rows]))}, recall "
        f"{percent(mean([row.recall for row in rows]))}, F1 "
        f"{percent(mean([row.f1 for row in rows]))}.</p>",
    ]
    silent = len(rows) - total
    if silent:
        none = number_of(silent, "class has", "classes have")
        body.append(f'<p class="note">{none} neither pictures nor answers.</p>')
    lead = (
        "Precision: how many of the answers are right. Recall: how many of the "
        "pictures are found. F1 is between both."
    )
    return section("classes", "Class by class", body, lead)


def _most_taken(confusions: Confusions) -> dict[int, str]:
    """Return what each class is mostly taken for, HTML; nothing of some."""
    found: dict[int, str] = {}
    for pair in confusions.pairs:  # The most frequent first.
        name = escape(confusions.rows[pair.answer].name)
        text = f'{name} <span class="quiet">{pair.count:,}</span>'
        found.setdefault(pair.label, text)
    return found


def _cells(row: ClassRow, taken: str | None) -> list[str]:
    shares = (row.precision, row.recall, row.f1)
    return [
        name_cell(row.name),
        number_cell(row.num_images),
        *(number_cell(x, percent(x), bar_of=x) for x in shares),
        cell(taken or '<span class="quiet">nothing</span>'),
    ]


def matrix_section(confusions: Confusions) -> str:
    """Return the confusion matrix of the classes that have pictures or answers."""
    rows = [confusions.rows[int(i)] for i in confusions.drawn]
    matrix = confusions.matrix
    order = np.arange(len(rows)) if len(rows) < 4 else near_order(matrix)
    lead = "What is grey is right, what has colour is not; strong is often."
    if len(rows) >= 4:
        lead += " Classes that are confused stand side by side."
    body = [draw_matrix(matrix, rows, order)]
    used = sum(bool(row.num_images or row.num_answers) for row in confusions.rows)
    if used > len(rows):
        more = f"The {len(rows)} classes with most mistakes, of {used:,}."
        body.append(f'<p class="note">{more}</p>')
    return section("confusions", "Confusion matrix", body, lead)
