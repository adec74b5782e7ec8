"""Parts of a page: tables, bars, things to unfold. All return HTML.

What they are given is HTML as well: plain text goes through `html.escape` first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def section(name: str, title: str, body: Iterable[str], lead: str = "") -> str:
    """Return a part of the page with a heading, found as #name."""
    intro = f'<p class="advice">{lead}</p>' if lead else ""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{title}</h2>{intro}{"".join(body)}</section>'
    )


def unfold(summary: str, body: Iterable[str], *, is_open: bool = False) -> str:
    """Return something that a click unfolds, also without JavaScript."""
    state = " open" if is_open else ""
    return f"<details{state}><summary>{summary}</summary>{''.join(body)}</details>"


def scroll_box(label: str, body: str, kind: str = "") -> str:
    """Return a box that scrolls by itself, with the keyboard, too.

    Args:
        label: plain text; says what is inside to those who cannot see it.
        body: HTML.
        kind: further CSS classes.
    """
    return (
        f'<div class="scroll {kind}" role="region" tabindex="0" '
        f'aria-label="{escape(label)}">{body}</div>'
    )


def bar(share: float, kind: str = "") -> str:
    """Return a bar whose length is a share, in [0, 1], of the place there is.

    The answer of a broken model is no number, and has no length.
    """
    shown = min(1.0, max(0.0, share))  # Also of NaN, which is above nothing.
    return (
        f'<svg class="bar {kind}" viewBox="0 0 100 1" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect class="rest" width="100" height="1"/>'
        f'<rect width="{100 * shown:.1f}" height="1"/></svg>'
    )


def name_cell(text: str) -> str:
    """Return the cell that says what a row is about; `text` is plain."""
    return f'<th scope="row">{escape(text)}</th>'


def cell(html: str) -> str:
    """Return a cell."""
    return f"<td>{html}</td>"


def number_cell(
    value: float | None, text: str | None = None, *, bar_of: float | None = None
) -> str:
    """Return a cell with a number, by which a table can be sorted.

    Args:
        value: the number; None: there is none, and the cell holds a dash.
        text: how it is written. Default: a whole number with commas.
        bar_of: a share that is drawn as a bar below the number. Default: no bar.
    """
    if value is None:
        return '<td class="number" data-sort=""><span class="none">–</span></td>'
    shown = f"{value:,.0f}" if text is None else text
    drawn = "" if bar_of is None else bar(bar_of)
    return f'<td class="number" data-sort="{value:.6g}">{shown}{drawn}</td>'


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    kind: str = "",
    sortable: bool = False,
) -> str:
    """Return a table in a box of its own, so that a wide one moves no page.

    Args:
        caption: plain text.
        head: of the columns, HTML; those but the first are of numbers.
        rows: of cells that the functions here make.
        kind: further CSS classes of the box, such as "tall".
        sortable: whether a click on a column sorts by it, with JavaScript.
    """
    mark = " data-sortable" if sortable else ""
    cells = "".join(f'<th scope="col">{one}</th>' for one in head)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return scroll_box(
        caption,
        f"<table{mark}><caption>{escape(caption)}</caption><thead><tr>{cells}</tr>"
        f"</thead><tbody>{body}</tbody></table>",
        kind,
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names with what there is to say of each; names are plain, values HTML."""
    inside = "".join(
        f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows if value
    )
    return f'<dl class="facts">{inside}</dl>'


def interval_bar(share: float, low: float, high: float, said: str) -> str:
    """Return a share with its interval on a line from 0 to 1; `said` is plain text."""
    return (
        f'<svg class="interval" viewBox="0 0 104 12" '
        f'preserveAspectRatio="xMinYMid" role="img" '
        f'aria-label="{escape(said)}"><path class="rest" d="M2 6H102"/>'
        f'<path class="whisker" d="M{2 + 100 * low:.1f} 6H{2 + 100 * high:.1f}"/>'
        f'<circle cx="{2 + 100 * share:.1f}" cy="6" r="3.4"/></svg>'
    )


def tiles(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return the main numbers: of each its name, the number and a note, plain text."""
    inside = "".join(
        f"<div><dt>{escape(name)}</dt><dd><b>{escape(number)}</b>"
        f"<span>{escape(note)}</span></dd></div>"
        for name, number, note in rows
    )
    return f'<dl class="tiles">{inside}</dl>'
