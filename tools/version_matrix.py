"""Install the wheel into fresh environments, and run tests there.

python tools/version_matrix.py                      # every row whose Python is found
python tools/version_matrix.py --row 3.13/jax       # one row; also 3.11/jax/oldest
python tools/version_matrix.py --whole --row 3.11/torch  # all tests instead of some

A row is a Python, a backend, and `oldest` for the lowest versions that pyproject.toml
allows; without it the newest that pip finds. Only that backend is installed in a row.
The tests lie in a folder without the package: only the wheel can be what they import.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
BACKENDS = ("tensorflow", "jax", "torch")
SHORT = (
    "tests/inference/test_predict.py",
    "tests/layers/test_mlp_head.py",
    "tests/layers/test_patch_encoder.py",
    "tests/layers/test_patches.py",
    "tests/layers/test_transformer_block.py",
    "tests/test_model.py",
    "tests/training/test_step.py",
)
NAMED = ("keras", "numpy", "pillow", *BACKENDS)
# What a user finds with it: that backend alone, and an import that is silent.
LOOK = f"""
import importlib.metadata, importlib.util, os, sys
found = [name for name in {BACKENDS} if importlib.util.find_spec(name)]
assert found == [os.environ["KERAS_BACKEND"]], found
import keras_vit
assert "site-packages" in keras_vit.__file__, keras_vit.__file__
print(*(importlib.metadata.version(name) for name in {NAMED}
    if name not in {BACKENDS} or name in found))
"""


@dataclass(frozen=True)
class Row:
    """A Python, a backend, and which of the allowed versions."""

    python: str
    backend: str
    versions: str = "newest"

    def __str__(self) -> str:
        return f"{self.python}/{self.backend}/{self.versions}"


def main() -> None:
    """Run the rows and print the table."""
    arguments = _arguments()
    rows = [_row(name) for name in arguments.row] or [
        *(Row(PYTHONS[0], backend, "oldest") for backend in BACKENDS),
        *(Row(python, backend) for python in PYTHONS for backend in BACKENDS),
    ]
    print("| Python | backend | Keras, NumPy, Pillow | tests |\n|---|---|---|---|")
    failed = []
    for row in rows:
        python = shutil.which(f"python{row.python}")
        if python is None:
            print(f"python{row.python} is not installed: {row} is left out.")
            if arguments.row:  # What was asked for is missing.
                failed.append(str(row))
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(_run(row, python, Path(folder), arguments), flush=True)
            except RuntimeError as error:
                print(f"{row}: {error}", flush=True)
                failed.append(str(row))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--row", action="append", default=[], help="3.13/jax")
    parser.add_argument("--whole", action="store_true", help="all tests")
    parser.add_argument(
        "--wheel", type=Path, help="default: the one in dist/ (make wheel)"
    )
    arguments = parser.parse_args()
    if arguments.wheel is None:
        wheels = sorted((ROOT / "dist").glob("*.whl"))
        if len(wheels) != 1:
            parser.error("dist/ holds no wheel: run make wheel, or give --wheel.")
        arguments.wheel = wheels[0]
    return arguments


def _row(name: str) -> Row:
    parts = name.split("/")
    row = Row(*parts) if 2 <= len(parts) <= 3 else None
    if (
        row is None
        or row.backend not in BACKENDS
        or row.versions not in ("oldest", "newest")
    ):
        sys.exit(f"--row is like 3.13/jax or 3.11/torch/oldest, not {name!r}.")
    return row


def _run(row: Row, python: str, folder: Path, arguments: argparse.Namespace) -> str:
    """Return the line of a row; what fails raises."""
    tree, environment = folder / "tree", folder / "environment"
    shutil.copytree(ROOT, tree, ignore=_left_out)
    constraints = folder / "constraints.txt"
    constraints.write_text(_constraints(row, arguments.whole))
    extra = "test" if arguments.whole else f"{row.backend},head"
    wanted = [f"{arguments.wheel.resolve()}[{extra}]", "pytest"]
    inside = environment / "bin" / "python"
    _call([python, "-m", "venv", environment], row, folder)
    pip = [inside, "-m", "pip", "install", "-q", "--no-input", "-c", constraints]
    _call([*pip, *wanted], row, folder)
    pytest = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if arguments.whole:
        printed = _call([*pytest, "-n", "2", "--dist", "worksteal"], row, tree)
        return f"| {row.python} | {row.backend} | whole suite | {_last(printed)} |"
    # In a folder without the tests, and silent.
    versions = _call([inside, "-W", "error", "-c", LOOK], row, folder).split()
    keras, numpy, pillow, backend = versions
    # What an old or a coming version deprecates is not ours to fail for.
    options = ["-o", "filterwarnings=default", *SHORT]
    printed = _call([*pytest, *options], row, tree)
    shared = f"{keras}, {numpy}, {pillow}"
    return f"| {row.python} | {row.backend} {backend} | {shared} | {_last(printed)} |"


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Return what a tree of tests has no need of; tests/site is no built site."""
    patterns = [".*", "__pycache__", "*.egg-info"]
    if Path(folder) == ROOT:
        patterns += ["keras_vit", "dist", "site"]
    return shutil.ignore_patterns(*patterns)(folder, names)


def _last(printed: str) -> str:
    return printed.strip().splitlines()[-1].strip("= ")


def _constraints(row: Row, whole: bool) -> str:
    """Return what pip must take: the lowest versions that are allowed, or any."""
    if whole:
        return (ROOT / "constraints.txt").read_text()
    if row.versions == "newest":
        return ""
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras[row.backend], *extras["head"]]
    return "".join(re.sub(r">=", "==", one) + "\n" for one in asked)


def _call(command: list[Any], row: Row, folder: Path) -> str:
    """Return what a command prints; a failure is kept in a file and raised."""
    inside = folder / "environment" / "bin"
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    variables |= {
        "PATH": f"{inside}{os.pathsep}{variables['PATH']}",
        "KERAS_BACKEND": row.backend,
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        log = Path(tempfile.gettempdir()) / f"{str(row).replace('/', '_')}.log"
        log.write_text(ran.stdout + ran.stderr)
        raise RuntimeError(f"{_last(ran.stdout + ran.stderr)} ({log})")
    return ran.stdout


if __name__ == "__main__":
    main()
