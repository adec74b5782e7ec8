"""The pages of the site: all there, no dead link, an entry for each public name."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import keras_vit
from keras_vit import layers, training
from tests.one_backend import NO_BACKEND

pytestmark = NO_BACKEND

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path for path in sorted((ROOT / "docs").glob("*.md"))}
SITE = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
# [text](target) or ![text](target); not in code.
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ENTRY = re.compile(r"^::: (keras_vit[\w.]*)$", re.MULTILINE)


def in_nav(part: Any) -> list[str]:
    """Return the pages of a part of the navigation, in order."""
    if isinstance(part, str):
        return [part]
    values = part.values() if isinstance(part, dict) else part
    return [page for value in values for page in in_nav(value)]


@cache
def prose(path: Path) -> str:
    """Return the text of a page with what it includes, without code."""
    text = path.read_text(encoding="utf-8")
    text = INCLUDED.sub(lambda one: (ROOT / one[1]).read_text(encoding="utf-8"), text)
    return FENCED.sub("", text)


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a page: its headings and the names of its entries."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    slugs: list[str] = []
    for heading in headings:
        plain = re.sub(r"[^\w\s-]", "", heading).strip().lower()
        slug = re.sub(r"[-\s]+", "-", plain)
        repeated = sum(bool(re.fullmatch(rf"{slug}(_\d+)?", one)) for one in slugs)
        slugs.append(f"{slug}_{repeated}" if repeated else slug)
    return frozenset([*slugs, *ENTRY.findall(prose(path))])


def dead_links(path: Path) -> list[str]:
    """Return the links inside the repository that lead nowhere."""
    dead = []
    for target in LINK.findall(re.sub(r"`[^`]*`", "", prose(path))):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    return dead


def test_the_navigation_names_each_page_once():
    assert sorted(in_nav(SITE["nav"])) == sorted(PAGES)


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES.values()], ids=str)
def test_no_link_leads_nowhere(path):
    assert dead_links(path) == []


def test_a_dead_link_is_seen(tmp_path):
    (tmp_path / "there.md").write_text("# A title: `x`, y\n\n## Two\n\n## Two\n")
    page = tmp_path / "page.md"
    good = "[a](there.md) [b](there.md#a-title-x-y) [c](there.md#two_1) [d](#here)"
    page.write_text(f"# Here\n{good} [e](gone.md)\n[f](there.md#no) ![g](no.webp)")
    assert dead_links(page) == ["gone.md", "there.md#no", "no.webp"]


def entry(name: str) -> str:
    """Return the path of a public name where griffe finds it.

    A function in a module of its own name is hidden by that module.
    """
    module = getattr(getattr(keras_vit, name), "__module__", "")
    return f"{module if module.endswith(f'.{name}') else 'keras_vit'}.{name}"


def test_each_public_name_has_an_entry():
    entries = {
        name: [*ENTRY.findall(prose(PAGES[f"{name}.md"]))]
        for name in ("api", "api-layers", "api-training")
    }
    assert sorted(entries["api"]) == sorted(
        entry(name) for name in keras_vit.__all__ if name != "layers"
    )
    assert sorted(entries["api-layers"]) == sorted(
        f"keras_vit.layers.{name}" for name in layers.__all__
    )
    everywhere = {name.rpartition(".")[2] for one in entries.values() for name in one}
    assert set(training.__all__) <= everywhere


def test_nothing_of_the_site_comes_from_elsewhere():
    assert SITE["theme"]["font"] is False
    for file in [*SITE["extra_css"], *SITE["extra_javascript"]]:
        assert (ROOT / "docs" / file).is_file()


def test_the_options_of_a_config_are_said_once():
    assert str(keras_vit.ViTConfig.__doc__).count("Args:") == 1
    assert str(keras_vit.ViTConfig.__doc__).count("image_size:") == 1


def test_the_version_is_said_alike():
    version = keras_vit.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in citation
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+?),? ", changes, re.MULTILINE)
    assert newest is not None and newest[1] == version
