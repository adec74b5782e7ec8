"""Each command that the pages print is one: its options exist and go together."""

from __future__ import annotations

import re
import shlex

import pytest

from keras_vit.cli.command_line import _parser
from tests.one_backend import NO_BACKEND
from tests.site.test_pages import PAGES, ROOT

pytestmark = NO_BACKEND

BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
START = re.compile(r"\bkeras-vit (?=[a-z])")


def commands(text: str) -> list[str]:
    """Return the commands in the blocks of a page without a language."""
    found = []
    for language, block in BLOCK.findall(text):
        if language:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            start = START.search(line)
            if start:
                found.append(line[start.end() :])
    return found


def words(command: str) -> list[str]:
    """Return the words up to what the shell keeps for itself; variables are 0."""
    split = shlex.split(re.sub(r"\$\w+", "0", command), comments=True)
    ends = [i for i, word in enumerate(split) if word in ("|", ">", "&&", ";")]
    return split[: min(ends, default=len(split))]


PRINTED = [
    (path.name, command)
    for path in [ROOT / "README.md", *PAGES.values()]
    for command in commands(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "command"), PRINTED)
def test_a_printed_command_is_understood(page, command, capsys):
    try:
        _parser().parse_args(words(command))
    except SystemExit:
        pytest.fail(f"{page}: {capsys.readouterr().err}")


def test_there_are_commands():
    assert len(PRINTED) > 60
