"""Read and write files that hold one JSON object, also those of this package."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any


def read_json(file: Path) -> dict[str, Any] | None:
    """Return the object in a file, None if there is no file.

    Raises:
        ValueError: if the file is not JSON, or holds something else than an object.
    """
    if not file.is_file():
        return None
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(file)!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{str(file)!r} must hold one JSON object.")
    return value


def write_json(file: Path, value: dict[str, Any]) -> None:
    """Write one object, indented for people who read it."""
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@cache
def read_table(name: str) -> dict[str, dict[str, Any]]:
    """Return a table of a format, such as "timm/models.json"."""
    file = resources.files("keras_vit.checkpoints") / name
    return json.loads(file.read_text(encoding="utf-8"))
