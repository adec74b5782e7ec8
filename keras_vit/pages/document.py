"""One HTML file with style, script and pictures inside: it asks no other server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path

from keras_vit.files import check_writable, replacing

# Characters in the name of a class or file that would turn the text around them.
_TURNING = {n: f"\\u{n:04x}" for n in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_FOLDER = Path(__file__).parent


def document(title: str, body: Iterable[str], *, scripted: bool = False) -> str:
    """Return a whole page.

    Its policy lets a browser run and draw what is in the page and nothing else, so the
    texts of a data set can do no harm. Without JavaScript the page is complete: the
    script sorts tables and reads the picture of a confusion matrix.

    Args:
        title: of the window; plain text.
        body: parts of HTML.
        scripted: whether the script goes with it. Default False.
    """
    style, script = _read("page.css"), _read("page.js") if scripted else ""
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'"
    )
    policy += f"; script-src '{_digest(script)}'" if scripted else ""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title><style>{style}</style></head><body>",
        *body,
        *([f"<script>{script}</script>"] if scripted else []),
        "</body></html>",
    ]
    return "\n".join(parts).translate(_TURNING) + "\n"


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"sha256-{digest}"


def check_page(path: str | Path, overwrite: bool) -> Path:
    """Refuse a page that cannot be written, before any work; return its path.

    Args:
        path: of the file, ends in ".html".
        overwrite: whether a file that is there is replaced.

    Raises:
        FileExistsError: if there is a file that is not to be replaced, or a folder.
        OSError: if it cannot be written.
        ValueError: if the name does not end in ".html".
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"A page ends in .html, received {str(path)!r}. Rename it.")
    if path.is_dir():
        raise FileExistsError(
            f"{str(path)!r} is a folder. Choose another path for the page."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{str(path)!r} exists. Choose another path, or replace it with "
            "overwrite=True (--overwrite)."
        )
    check_writable(path.parent)
    return path


def write_document(
    path: Path, title: str, body: Iterable[str], *, scripted: bool = False
) -> Path:
    """Write a `document` whole or not at all, and return its path."""
    text = document(title, body, scripted=scripted)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
