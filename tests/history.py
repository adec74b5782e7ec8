"""Read the table of epochs that a run leaves for people."""

from __future__ import annotations

import csv
from pathlib import Path


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of `history.csv` as numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in r.items() if v} for r in csv.DictReader(file)]
    return [{**row, "epoch": int(row["epoch"])} for row in rows]
