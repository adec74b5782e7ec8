"""Let the API pages show the docstrings that are finished when the package is imported.

`ViT` and `ViTConfig` take the texts of their options from the table of options, which
griffe, reading the source alone, does not see.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import griffe


def list_items(section: str) -> str:
    """Return the lines of a section with those that name an argument as list items."""
    return re.sub(r"^(    )(?=[\w*]+: )", r"\1- ", section, flags=re.MULTILINE)


class FinishedDocstrings(griffe.Extension):
    """Replace docstrings that have a place for the options, and name sections."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Take the docstring of an imported class, and griffe's name for examples."""
        if obj.docstring is None:
            return
        text = obj.docstring.value
        if obj.is_class and "{options}" in text:
            imported = getattr(importlib.import_module(obj.module.path), obj.name)
            text = inspect.cleandoc(imported.__doc__)
        # Griffe makes a list of the arguments of `__init__`, not of those of `call`.
        text = re.sub(
            r"^( *)Call arguments:\n((?:\1 .*\n?)+)",
            lambda found: found[0].replace(found[2], list_items(found[2])),
            text,
            flags=re.MULTILINE,
        )
        # Two sections of ours would run into one paragraph.
        text = re.sub(r"\n( *)Output shape:", r"\n\n\1Output shape:", text)
        # Under "Example:" griffe would take the lines with >>> for quotations.
        obj.docstring.value = re.sub(
            r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE
        )
