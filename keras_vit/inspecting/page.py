"""A check of a data set as one HTML file with the pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from keras_vit.files import check_writable, replacing

_STYLE = Path(__file__).with_name("page.css")
# Of each finding, and of each group in it; the rest is counted.
_GROUPS, _PICTURES = 40, 8
_THUMBNAIL = 272  # pixels: twice what a page shows
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
    path = Path(path).expanduser()
    check_page(path, overwrite)
    check_writable(path.parent)
    with replacing(path) as temporary:
        temporary.write_text("\n".join(_page(check)), encoding="utf-8")
    return path


def check_page(path: str | Path, overwrite: bool) -> None:
    """Refuse a page that cannot be written, before any work; see `write_page`."""
    path = Path(path).expanduser()
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(
            f"The page of a check ends in .html, received {str(path)!r}. Rename it."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{str(path)!r} exists. Choose another path, or replace it with "
            "overwrite=True (--overwrite)."
        )


def _page(check: Any) -> Iterator[str]:
    name, style = escape(check.name), _STYLE.read_text(encoding="utf-8")
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Check of {name}</title><style>{style}</style></head><body>"
    yield f"<h1>{name}</h1>"
    count = len(check.findings)
    found = (
        f"{count} thing{'s' * (count != 1)} to look at" if count else "Nothing found"
    )
    yield f'<p class="lead">{len(check.pictures):,} pictures. {found}.</p>'
    for finding in check.findings:
        yield from _finding(check, finding)
    yield from _facts(check)
    yield "</body></html>"


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
        image = check.open(number).convert("RGB")
    except (OSError, ValueError):
        return None  # It has gone or changed since.
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    code = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/jpeg;base64,{code}"


def _facts(check: Any) -> Iterator[str]:
    yield '<section><h2>The data</h2><dl class="facts">'
    for name, text in check.summary():
        yield f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>"
    if check.looked_for:
        yield "<dt>not found</dt>"
        yield f"<dd>{escape(', '.join(check.looked_for))}</dd>"
    yield "</dl>"
    if check.class_names:
        for part, counts in check.counts.items():
            yield f"<table><caption>{part}: {sum(counts.values()):,}</caption>"
            most = max([*counts.values(), 1])
            ordered = sorted(counts.items(), key=lambda item: -item[1])
            for name, count in ordered[:_CLASSES]:
                bar = f'<span style="width:{100 * count / most:.1f}%"></span>'
                yield f'<tr><th scope="row">{escape(name)}</th>'
                yield f'<td class="number">{count:,}</td>'
                yield f'<td class="bar">{bar}</td></tr>'
            if ordered[_CLASSES:]:
                rest = sum(count for _, count in ordered[_CLASSES:])
                more = f"{len(ordered) - _CLASSES} more classes"
                yield f"<tr><th>{more}</th>"
                yield f'<td class="number">{rest:,}</td><td></td></tr>'
            yield "</table>"
    yield "</section>"
