"""Write files and folders whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; take its place if all went well.

    The name keeps the ending of `path`. What stood at `path` stays until the new file
    or folder is complete, and stays for good if the block raises. Missing folders above
    it are made, and are taken away again if nothing comes into them.

    Raises:
        OSError: if the disk is full or the place cannot be written; the message says
            which place and what to do.
    """
    path = Path(path)
    temporary: Path | None = None
    made: list[Path] = []
    try:
        made = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        temporary = holder / path.name
        yield temporary
        old = holder / "replaced"
        if path.is_dir():
            # A folder cannot be replaced in one step: move the old one out of the way.
            os.rename(path, old)
        try:
            os.replace(temporary, path)
        except OSError:
            if old.exists():
                os.rename(old, path)
            raise
    except OSError as error:
        raise explain(error, path) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary.parent, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # It holds something, or could not be made.
                folder.rmdir()


def check_replaceable(folder: Path, own: Collection[str]) -> None:
    """Raise a FileExistsError if a folder holds what nobody asked to replace.

    Args:
        folder: that would be replaced as a whole; what is no folder holds nothing.
        own: names of what a former result of the same kind may hold.
    """
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in found if name not in own]
    if others:
        listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        raise FileExistsError(
            f"{str(folder)!r} also holds {listed}, and would be replaced as a whole. "
            "Move that away, or choose another path."
        )


def explain(error: OSError, path: str | Path) -> OSError:
    """Return an error of the same type that says what failed and what to do."""
    advice = {
        errno.ENOSPC: "The disk is full. Free some space or choose another place.",
        errno.EDQUOT: "The disk quota is used up. Free some space or choose another.",
        errno.EACCES: "There is no permission to write there. Choose another place.",
        errno.EPERM: "There is no permission to write there. Choose another place.",
        errno.EROFS: "The disk is read-only. Choose another place.",
        errno.ENOTDIR: "A file is where a folder is needed. Choose another place.",
        errno.EEXIST: "A file is where a folder is needed. Choose another place.",
    }
    if error.errno not in advice:
        return error
    message = f"Could not write {str(path)!r}: {error.strerror}. {advice[error.errno]}"
    return type(error)(error.errno, message)


def check_writable(folder: str | Path, required_bytes: int = 0) -> None:
    """Raise an OSError unless files of that size can be written to `folder`.

    Nothing is made: if the folder does not exist, its nearest parent is tried.
    """
    folder = Path(folder)
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"0")
        free = shutil.disk_usage(existing).free
    except OSError as error:
        raise explain(error, folder) from error
    if free < required_bytes:
        raise OSError(
            errno.ENOSPC,
            f"Could not write {str(folder)!r}: about {required_bytes / 1e6:.0f} MB are "
            f"needed and {free / 1e6:.0f} MB are free. Free some space or choose "
            "another place.",
        )
