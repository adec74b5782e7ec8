"""Tools say what they cannot do, and leave no tests out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.one_backend import NO_BACKEND
from tools import version_matrix

pytestmark = NO_BACKEND

TOOLS = Path(version_matrix.__file__).parent


def test_an_unknown_notebook_and_a_missing_python_fail():
    for name, *arguments, said in (
        ("build_notebooks", "8_none", "no notebook 8_none"),
        ("version_matrix", "--wheel", "x", "--row", "2.0/jax", "Failed: 2.0/jax"),
    ):
        command = [sys.executable, TOOLS / f"{name}.py", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode and said in ran.stderr


def test_the_tree_of_a_row_has_all_tests_and_no_package():
    root = version_matrix.ROOT
    assert "keras_vit" in version_matrix._left_out(str(root), ["keras_vit", "tests"])
    assert not version_matrix._left_out(str(root / "tests"), ["site", "tools"])
