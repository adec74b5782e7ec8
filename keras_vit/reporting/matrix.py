"""A confusion matrix that can be read: numbers, squares or pixels. C classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import numpy as np

from keras_vit.pages.parts import scroll_box
from keras_vit.pages.thumbnails import as_png
from keras_vit.reporting.class_scores import ClassRow
from keras_vit.reporting.wording import number_of, shorter

_MOST_NUMBERS = 16  # classes of which each cell has its number
_MOST_NAMES = 60  # of which each row has its name
_LEVELS = 9  # of colour
_CELL = 15  # units of a square
# The same in light and dark: what is right is grey, what is wrong has the colour.
_RIGHT, _WRONG = (128, 133, 145), (46, 111, 224)
_BLOCK, _BLOCKS = 8, 6  # classes side by side, and how many places are shown so
_PIXELS = 1200  # about so wide is a matrix without names


def draw_matrix(matrix: np.ndarray, rows: Sequence[ClassRow], order: np.ndarray) -> str:
    """Return a confusion matrix as HTML; rows are labels, columns are answers.

    Args:
        matrix: counts, int (C, C).
        rows: the classes.
        order: of rows and columns, int (C,).
    """
    left_out = ""
    wrong = matrix.sum(axis=1) + matrix.sum(axis=0) - 2 * np.diag(matrix)
    if len(order) > _MOST_NAMES and wrong.any():
        kept = order[wrong[order] > 0]
        rest = number_of(len(order) - len(kept), "class", "classes")
        if len(kept) < len(order):
            left_out = f'<p class="note">{rest} without a mistake are left out.</p>'
        order = kept
    counts = matrix[np.ix_(order, order)]
    totals = np.array([max(rows[int(i)].num_images, 1) for i in order])
    shares, names = counts / totals[:, None], [rows[int(i)].name for i in order]
    if len(order) <= _MOST_NUMBERS:
        return _numbers(counts, shares, names) + left_out
    if len(order) <= _MOST_NAMES:
        return _squares(counts, shares, names) + left_out
    drawn = _pixels(counts, shares, names) + left_out
    return drawn + _blocks(counts, shares, names)


def _level(share: float) -> int:
    """Return a level of colour, from 1; small shares are still seen."""
    return max(1, min(_LEVELS, int(np.ceil(_LEVELS * np.sqrt(share)))))


def _numbers(
    counts: np.ndarray,
    shares: np.ndarray,
    names: list[str],
    title: str = "Rows are labels, columns are answers",
    label: str = "Numbers of the confusion matrix",
) -> str:
    head = "".join(
        f'<th scope="col"><span>{escape(name)}</span></th>' for name in names
    )
    rows = []
    for i, name in enumerate(names):
        cells = [f'<th scope="row">{escape(name)}</th>']
        for j in range(len(names)):
            count, kind = int(counts[i, j]), "hit" if i == j else "miss"
            kind = f"{kind} q{_level(float(shares[i, j]))}" if count else "zero"
            cells.append(f'<td class="{kind}">{count:,}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    turned = " turned" if len(names) > 5 and max(map(len, names)) > 4 else ""
    return scroll_box(
        label,
        f'<table class="matrix{turned}"><caption>{escape(title)}'
        f"</caption><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}"
        "</tbody></table>",
    )


def _squares(counts: np.ndarray, shares: np.ndarray, names: list[str]) -> str:
    short = [shorter(name) for name in names]
    margin = 14 + 6.6 * max(map(len, short))
    side = margin + _CELL * len(names)
    parts = []
    for i, name in enumerate(short):
        middle = margin + _CELL * (i + 0.5)
        parts.append(
            f'<text class="tick end" x="{margin - 6:.0f}" y="{middle + 4:.1f}">'
            f"{escape(name)}</text>"
            f'<text class="tick" transform="translate({middle + 4:.1f} '
            f'{margin - 6:.0f}) rotate(-90)">{escape(name)}</text>'
        )
    for i, j in np.argwhere(counts):
        said = f"{names[i]} taken for {names[j]}" if i != j else f"{names[i]}, right"
        kind = "hit" if i == j else "miss"
        parts.append(
            f'<rect class="{kind} q{_level(float(shares[i, j]))}" '
            f'x="{margin + _CELL * j + 0.5:.1f}" y="{margin + _CELL * i + 0.5:.1f}" '
            f'width="{_CELL - 1}" height="{_CELL - 1}" rx="2">'
            f"<title>{escape(said)}: {counts[i, j]}</title></rect>"
        )
    return (
        scroll_box(
            "Numbers of the confusion matrix",
            f'<svg class="squares" width="{side:.0f}" height="{side:.0f}" '
            f'viewBox="0 0 {side:.0f} {side:.0f}" role="img" '
            f'aria-label="{_said(counts)}">{"".join(parts)}</svg>',
        )
        + '<p class="note">Rows are labels, columns are answers.</p>'
    )


def _pixels(counts: np.ndarray, shares: np.ndarray, names: list[str]) -> str:
    from PIL import Image

    size = len(names)
    pixels = np.zeros((size, size, 4), "uint8")
    rights = np.eye(size, dtype=bool)[..., None]
    pixels[..., :3] = np.where(rights, _RIGHT, _WRONG)
    strength = 0.3 + 0.7 * np.sqrt(np.minimum(shares * np.where(np.eye(size), 1, 3), 1))
    pixels[..., 3] = np.where(counts > 0, 255 * strength, 0).round()
    times = max(1, _PIXELS // size)
    image = Image.fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1), "RGBA")
    cells = [[int(i), int(j), int(counts[i, j])] for i, j in np.argwhere(counts)]
    data = json.dumps({"names": names, "cells": cells}, separators=(",", ":"))
    data = data.replace("<", "\\u003c")  # No end of the element in a name.
    return (
        '<figure class="pixels-matrix"><p class="axis-name">answers →</p>'
        f'<img class="pixels" src="{as_png(image)}" alt="{_said(counts)}">'
        '<figcaption><span class="axis-name">↓ labels</span> '
        '<span class="reading">A dot is a class that is taken for another one, the '
        "stronger the more often; the line is what is right.</span></figcaption>"
        f'<script type="application/json">{data}</script></figure>'
    )


def _blocks(counts: np.ndarray, shares: np.ndarray, names: list[str]) -> str:
    """Return the places of a large matrix with most mistakes, with their numbers."""
    found = []
    for start, stop in blocks(counts):
        inside = slice(start, stop)
        part = counts[inside, inside]
        wrong = int(part.sum() - np.trace(part))
        title = f"{number_of(wrong, 'mistake')} among {stop - start} classes"
        label = f"Confusion matrix, {names[start]} to {names[stop - 1]}"
        table = _numbers(part, shares[inside, inside], names[inside], title, label)
        found.append(f"<div>{table}</div>")
    if not found:
        return ""
    return (
        "<h3>Classes that are confused with each other</h3>"
        f'<div class="blocks">{"".join(found)}</div>'
    )


def blocks(counts: np.ndarray, most: int = _BLOCKS) -> list[tuple[int, int]]:
    """Return where along an ordered matrix most mistakes are: (start, stop) of each.

    Args:
        counts: of the ordered classes, int (C, C).
        most: how many places.
    """
    wrong = counts - np.diag(np.diag(counts))
    ends = np.minimum(np.arange(len(wrong)) + _BLOCK, len(wrong))
    found: list[tuple[int, int]] = []
    while len(found) < most:
        sums = [int(wrong[a:b, a:b].sum()) for a, b in enumerate(ends)]
        start = int(np.argmax(sums))
        if not sums[start]:
            break
        inside = slice(start, int(ends[start]))
        used = np.flatnonzero((wrong + wrong.T)[inside, inside].any(axis=0))
        first, last = start + int(used[0]), start + int(used[-1]) + 1
        found.append((first, last))
        ends[:first] = np.minimum(ends[:first], first)
        ends[first:last] = np.arange(first, last)  # These are shown.
    return found


def _said(counts: np.ndarray) -> str:
    right = int(np.trace(counts))
    wrong = int(counts.sum()) - right
    return (
        f"Confusion matrix of {len(counts)} classes: {number_of(right, 'picture')} on "
        f"the diagonal, {number_of(wrong, 'picture')} beside it. The pairs that are "
        "confused most often are listed below."
    )
