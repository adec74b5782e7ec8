"""The site, built as `make docs` builds it, in a real browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import keras_vit
from tests.one_backend import NO_BACKEND
from tests.web.axe import axe_source
from tests.web.conftest import watch

pytestmark = NO_BACKEND

ROOT = Path(__file__).parents[2]
FOLDERS, FILES = ("docs", "tools"), ("zensical.toml", "CHANGELOG.md")
# The start, a page with wide tables and pictures, and one made of docstrings.
PAGES = ("index", "explain", "api-training")
VIEWS = (("light", 375), ("dark", 1280))


def built(folder: Path) -> Path:
    """Build the site apart from the working tree, and return it."""
    pytest.importorskip("zensical", reason="needs pip install 'keras3-vit[docs]'")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(Path(keras_vit.__file__).parent, folder / "keras_vit")
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "tools/build_site.py"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def new_page(browser: Any, address: str, problems: list[str], **options: Any) -> Any:
    """Return a page that tells errors, and what it asks another server for."""
    page = browser.new_page(**options)
    watch(page, address, problems)
    return page


def look_for_a_word(page: Any, address: str) -> None:
    """Search, in a dialog that opens with a key, and go to the first hit."""
    page.goto(f"{address}index.html")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    page.keyboard.type("calibrate", delay=20)
    page.locator("a[href*='unknown.html']:visible", has_text="Probabilities").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/api.html*")


def test_everyone_can_read_and_search_the_site(npm, chromium, serve, tmp_path):
    address = serve(built(tmp_path)).address
    problems: list[str] = []
    for scheme, width in VIEWS:
        size = {"width": width, "height": 800}
        page = new_page(chromium, address, problems, color_scheme=scheme, viewport=size)
        for name in PAGES:
            page.goto(f"{address}{name}.html")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.evaluate(axe_source())
            for one in page.evaluate("axe.run()")["violations"]:
                problems.append(f"{name} {scheme}: {one['id']}: {one['nodes'][0]}")
        page.close()
    page = new_page(chromium, address, problems)
    look_for_a_word(page, address)
    page.close()
    assert problems == []
