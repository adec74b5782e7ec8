"""What the pages of the site print runs: each Python block of a page, in order."""

from __future__ import annotations

import re
import warnings

import pytest

from tests.one_backend import ONE_BACKEND, conversions_in_this_process
from tests.site.peer_stand_ins import prepare_peers
from tests.site.stand_ins import prepare
from tests.site.test_pages import PAGES

pytestmark = ONE_BACKEND

RUN = (
    "index",
    "photographs",
    "checkpoints",
    "kaggle",
    "server",
    "migrating",
    "research",
)
MAKES_RUN = "photographs"
WITH_PEERS = "migrating"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", RUN)
def test_each_block_runs(name, monkeypatch, tmp_path, capsys):
    prepare(monkeypatch, tmp_path, with_run=name != MAKES_RUN)
    if name == WITH_PEERS:
        prepare_peers(monkeypatch, tmp_path)
    text = PAGES[f"{name}.md"].read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": name}
    with conversions_in_this_process(), warnings.catch_warnings():
        warnings.simplefilter("default")  # A notebook shows them, and goes on.
        for block in BLOCK.finditer(text):
            # Lines count as in the page, for tracebacks.
            start = text[: block.start(1)].count("\n")
            code = compile("\n" * start + block[1], f"docs/{name}.md", "exec")
            exec(code, names)  # noqa: S102
    printed = capsys.readouterr().out
    assert printed
    # Both sides of a page about another library give the same numbers.
    differences = re.findall(
        r"^largest relative difference: (\S+)$", printed, re.MULTILINE
    )
    assert len(differences) == (3 if name == WITH_PEERS else 0)
    assert all(float(one) < 1e-3 for one in differences)
