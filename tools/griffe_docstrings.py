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
        # Under "Example:" griffe would take the lines with >>> for quotations.
        obj.docstring.value = re.sub(
            r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE
        )
