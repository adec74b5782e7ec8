"""Print a page of the licences of what this package and its extras need.

python tools/licences.py > docs/licences.md
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

PROJECT = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
)["project"]
OWN = ("test", "lint", "docs")  # Of these nothing is part of what is installed.


def main() -> None:
    """Print a row for each package that is asked for by name."""
    users: dict[str, list[str]] = {}
    asked = {"always": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    for extra, requirements in asked.items():
        for requirement in requirements if extra not in OWN else ():
            name = re.split(r"[<>=\[; ]", requirement)[0]
            users.setdefault(name, []).append(extra)
    print("# Licences\n")
    print(
        "This package is under Apache-2.0; the embedded digits are under CC BY 4.0 (E. "
        "Alpaydin and\nC. Kaynak, doi:10.24432/C50P49). What it installs by name, and "
        "what for; each brings\nothers, which `pip show NAME` lists "
        "(`python tools/licences.py`):\n"
    )
    print("| package | licence | needed |\n|---|---|---|")
    for name, extras in sorted(users.items(), key=lambda row: row[0].lower()):
        print(f"| `{name}` | {licence(name)} | {', '.join(extras)} |")


def licence(name: str) -> str:
    """Return what a package says of its licence."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    if found.get("License-Expression"):
        return str(found["License-Expression"])
    classes = [
        one.rsplit(" :: ", 1)[-1]
        for one in found.get_all("Classifier") or ()
        if one.startswith("License ::")
    ]
    # Some give the whole text, whose first line is its name.
    first = (found.get("License") or "").strip().split("\n")[0].strip()
    return ", ".join(classes) or first or "see the package"


if __name__ == "__main__":
    main()
