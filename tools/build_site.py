"""Build the site into site/, and fail at each warning: make docs.

Zensical's own `--strict` covers links, anchors and names. Here the rest is caught: what
griffe says of docstrings, and pages that would ask another server.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# What a browser loads by itself. Links that a reader follows may lead anywhere.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']?(?:https?:)?//[^>]*"""
    r"""|<link\b(?=[^>]*rel=["']?(?:stylesheet|preload|preconnect|icon))"""
    r"""[^>]*href=["']?(?:https?:)?//[^>]*"""
    r"""|@import[^;]*//[^;]*|url\(["']?(?:https?:)?//[^)]*"""
)


def main() -> None:
    """Build, and end with an error where anything was said."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    print(built.stdout, end="")
    warned = re.findall(r"^(?:griffe|mkdocs|WARNING).*", built.stdout, re.MULTILINE)
    if built.returncode or warned:
        raise SystemExit(f"the site has {len(warned) or 'some'} warnings: see above")
    asked = [
        f"{path}: {found}"
        for path in sorted(Path("site").rglob("*"))
        if path.suffix in {".html", ".css"}
        for found in LOADED.findall(path.read_text(encoding="utf-8"))
    ]
    if asked:
        raise SystemExit("pages would ask another server:\n" + "\n".join(asked))


if __name__ == "__main__":
    main()
