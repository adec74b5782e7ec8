"""The messages of the page of troubleshooting are those that the package prints."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import keras_vit
from tests.one_backend import NO_BACKEND
from tests.site.test_pages import PAGES

pytestmark = NO_BACKEND

PACKAGE = Path(keras_vit.__file__).parent
QUOTED = re.compile(r"^### `(.+)`$", re.MULTILINE)
MESSAGES = QUOTED.findall(PAGES["troubleshooting.md"].read_text(encoding="utf-8"))


def text_of(node: ast.expr) -> str:
    """Return a text of the source, with … for what is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            text_of(part) if isinstance(part, ast.Constant) else "…"
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    return "…"


@cache
def raised() -> frozenset[str]:
    """Return each text that the package raises."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                found.update(text_of(one) for one in node.exc.args)
    return frozenset(found)


def one_gap(text: str) -> str:
    """Return a text in which gaps side by side are one, at its end too."""
    return re.sub(r"…[… ]*", "…", text)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_of_the_package(message):
    known = {one_gap(text) for text in raised()}
    quoted = one_gap(message)
    whole = quoted in known
    beginning = quoted.endswith("…") and any(
        text.startswith(quoted.removesuffix("…")) for text in known
    )
    assert whole or beginning


def test_there_are_messages():
    assert len(MESSAGES) > 15
