"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(titles: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of Markdown."""
    cells = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in cells)
