"""What a notebook shows of a result in the last line of a cell.

Colours are those of the notebook, light or dark; nothing is loaded and nothing runs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path

from keras_vit.pages.parts import cell, facts, name_cell, table

MOST_ROWS = 20  # of a table in a notebook


class InNotebook:
    """A result that a notebook shows as tables of what `text` or `table` says."""

    __slots__ = ()

    @abstractmethod
    def _notebook(self) -> Iterable[str]:
        """Yield parts of HTML, of `pages.parts` or of the functions here."""

    def _repr_html_(self) -> str:
        title = f'<p class="title">{escape(type(self).__name__)}</p>'
        inside = "".join(self._notebook())
        return f'<div class="keras-vit"><style>{_style()}</style>{title}{inside}</div>'


@cache
def _style() -> str:
    path = Path(__file__).with_name("notebook.css")
    return path.read_text(encoding="utf-8").partition("*/")[2].strip()


def plain_table(
    caption: str,
    titles: Sequence[object],
    rows: Iterable[Sequence[object]],
    most: int = MOST_ROWS,
) -> str:
    """Return a table of plain texts and numbers; the first of a row says what it is.

    Args:
        caption: plain text.
        titles: of the columns.
        rows: of the table.
        most: how many are shown. Default `MOST_ROWS`.
    """
    listed = list(rows)
    cells = [[name_cell(str(a)), *map(_cell, rest)] for a, *rest in listed[:most]]
    more = len(listed) - most
    shown = table(caption, [escape(str(title)) for title in titles], cells)
    return shown + (note(f"and {more:,} more") if more > 0 else "")


def plain_facts(rows: Iterable[tuple[str, object]]) -> str:
    """Return names with what there is to say of each, both plain."""
    return facts((name, escape(str(value))) for name, value in rows)


def note(text: str, kind: str = "note") -> str:
    """Return a paragraph of plain text, as `kind` a "note" or a "warning"."""
    return f'<p class="{kind}">{escape(text)}</p>'


def _cell(value: object) -> str:
    text = escape(str(value))
    is_number = text[:1].isdigit() or text[:1] in "+-" and text[1:2].isdigit()
    return f'<td class="number">{text}</td>' if is_number else cell(text)
