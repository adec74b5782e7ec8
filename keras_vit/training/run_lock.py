"""One run at a time in an output folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from keras_vit.files import explain

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs.

    The system lets the lock go when the process ends, however it ends. A folder that
    was made for the lock goes again if nothing else came into it.

    Args:
        folder: of the output. None: there is nothing to keep.

    Raises:
        FileExistsError: if another run is in it.
        OSError: if nothing can be written there.
    """
    if folder is None:
        yield
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _open_locked(folder / LOCK_FILE)
    except BlockingIOError as error:
        raise FileExistsError(
            f"Another run writes to {str(folder)!r} now. Wait for its end, or choose "
            "another output."
        ) from error
    except OSError as error:
        _remove(made)
        raise explain(error, folder) from error
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / LOCK_FILE).unlink()
        file.close()
        _remove(made)


def holds_something(folder: Path) -> bool:
    """Return whether a path is in use, apart from the lock."""
    if not folder.is_dir():
        return folder.exists()
    return any(path.name != LOCK_FILE for path in folder.iterdir())


def _open_locked(path: Path) -> IO[bytes]:
    """Return the lock file, opened and locked.

    Raises:
        BlockingIOError: if another process has it.
    """
    while True:
        file = path.open("ab")
        try:
            _lock(file)
            # The one who had it before may have removed the file in between.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        warnings.warn(
            f"The file system of {file.name!r} has no locks ({error.strerror}): do not "
            "start a second run with this output.",
            stacklevel=4,
        )


def _remove(made: list[Path]) -> None:
    for folder in made:
        with suppress(OSError):  # It holds something, or could not be made.
            folder.rmdir()
