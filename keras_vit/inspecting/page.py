"""A check of a data set as one HTML file with the pictures inside."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from keras_vit.pages.document import check_page, write_document
from keras_vit.pages.parts import bar, cell, facts, name_cell, number_cell, table
from keras_vit.pages.thumbnails import as_jpeg

# Of each finding, and of each group in it; the rest is counted.
_GROUPS, _PICTURES = 40, 8
_CLASSES = 60


def write_page(check: Any, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the page; nothing else is needed to look at it, on a phone either.

    Args:
        check: a `DataCheck`.
        path: of the file, ends in ".html".
        overwrite: whether a file that is there is replaced. Default False.

    Raises:
        FileExistsError: if there is a file that is not to be replaced.
        OSError: if it cannot be written.
        ValueError: if the name does not end in ".html".
    """
    path = check_page(path, overwrite)
    return write_document(path, f"Check of {check.name}", _page(check))


def _page(check: Any) -> Iterator[str]:
    count = len(check.findings)
    found = (
        f"{count} thing{'s' * (count != 1)} to look at" if count else "Nothing found"
    )
    yield f'<header><p class="eyebrow">Data check</p><h1>{escape(check.name)}</h1>'
    yield f'<p class="lead">{len(check.pictures):,} pictures. {found}.</p></header>'
    yield "<main>"
    for finding in check.findings:
        yield from _finding(check, finding)
    yield from _facts(check)
    yield "</main>"


def _finding(check: Any, finding: Any) -> Iterator[str]:
    yield f'<section id="{finding.kind}"><h2>{escape(finding.title)}</h2>'
    yield f'<p class="advice">{escape(finding.advice)}.</p>'
    if finding.groups:
        yield '<div class="groups">'
        for place, group in enumerate(finding.groups[:_GROUPS]):
            yield '<div class="group">'
            yield from (_figure(check, number) for number in group[:_PICTURES])
            more = len(group) - _PICTURES
            notes = [finding.notes[place]] if finding.notes else []
            notes += [f"and {more:,} more"] if more > 0 else []
            yield from (f'<p class="note">{escape(note)}</p>' for note in notes)
            yield "</div>"
        yield "</div>"
        more = len(finding.groups) - _GROUPS
        if more > 0:
            yield f'<p class="more">And {more:,} more: --json has all of them.</p>'
    yield "</section>"


def _figure(check: Any, number: int) -> str:
    picture = check.pictures[number]
    name = escape(check.describe(number))
    label = escape(check.class_of(number))
    where = f"{label}, {picture.part}" if label else picture.part
    shown = _thumbnail(check, number)
    image = f'<img src="{shown}" alt="" loading="lazy">' if shown else ""
    image = image or '<span class="none">no picture</span>'
    caption = f"<figcaption><b>{where}</b>{name}</figcaption>"
    return f"<figure>{image}{caption}</figure>"


def _thumbnail(check: Any, number: int) -> str | None:
    """Return a picture as the address of an <img>, None if it cannot be read."""
    if check.pictures[number].problem is not None:
        return None
    try:
        return as_jpeg(check.open(number))
    except (OSError, ValueError):
        return None  # It has gone or changed since.


def _facts(check: Any) -> Iterator[str]:
    yield '<section id="data"><h2>The data</h2>'
    rows = [(name, escape(text)) for name, text in check.summary()]
    yield facts([*rows, ("not found", escape(", ".join(check.looked_for)))])
    if check.class_names:
        for part, counts in check.counts.items():
            most = max([*counts.values(), 1])
            ordered = sorted(counts.items(), key=lambda item: -item[1])
            lines = [
                [name_cell(name), number_cell(count), cell(bar(count / most))]
                for name, count in ordered[:_CLASSES]
            ]
            if ordered[_CLASSES:]:
                rest = sum(count for _, count in ordered[_CLASSES:])
                more = name_cell(f"{len(ordered) - _CLASSES} more classes")
                lines.append([more, number_cell(rest), cell("")])
            caption = f"{part}: {sum(counts.values()):,}"
            yield table(caption, ["class", "pictures", "share"], lines, kind="counts")
    yield "</section>"
