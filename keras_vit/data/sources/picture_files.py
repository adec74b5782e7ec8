"""Find the image files below a folder, and count what is left out."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_vit.data.sources.archive import ArchivePath, Place, find_place
from keras_vit.image_formats import readable_endings, what_reads

# What file managers write beside pictures.
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini", "icon\r")
_NO_ENDING = "files without an ending"
_NO_FILE = "that are no files"
_MOST_ENDINGS = 10


@dataclass(frozen=True, kw_only=True)
class PictureFiles:
    """The image files below a folder.

    Args:
        paths: of the files, sorted.
        left_out: how many other files there are, by the ending of their names.
    """

    paths: list[Place] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_pictures(folder: Place) -> PictureFiles:
    """Return the image files below a folder, with those behind links.

    Those whose name ends as a readable format's does, in upper or lower case. Hidden
    files and folders, and those of file managers, are none.

    Raises:
        OSError: if a folder cannot be read.
        ValueError: if a link leads back to a folder that it is in.
    """
    return sorted_out(_walk(folder, ()))


def sorted_out(files: Iterable[Place]) -> PictureFiles:
    """Return which files are images, by their names."""
    endings = set(readable_endings())
    found = PictureFiles()
    for path in files:
        ending = path.suffix.lower()
        if ending not in endings:
            if path.name.lower() not in _OF_THE_SYSTEM:
                found.left_out[ending or _NO_ENDING] += 1
        elif path.is_file() or path.is_symlink():  # A dead link fails where it is read.
            found.paths.append(path)
        else:
            found.left_out[_NO_FILE] += 1
    found.paths.sort()  # pyright: ignore[reportCallIssue]
    return found


def image_files(paths: Sequence[str | Path]) -> list[Any]:
    """Return image files, with those below folders in the place of each folder.

    Archives, and folders in archives, are folders.

    A warning counts the other files below folders.

    Raises:
        FileNotFoundError: if there is nothing at a path.
        ValueError: if a folder holds no image file.
    """
    found: list[Place] = []
    for path in map(find_place, paths):
        if not path.exists():
            raise FileNotFoundError(f"No file or folder {str(path)!r}. Check the path.")
        if not path.is_dir():
            found.append(path)
            continue
        inside = find_pictures(path)
        if not inside.paths:
            raise ValueError(
                f"No images in the folder {str(path)!r}: {expected(inside.left_out)}"
            )
        tell_left_out(path, inside.left_out)
        found.extend(inside.paths)
    return found


def tell_left_out(folder: Place, left_out: Counter[str]) -> None:
    """Warn of the files that are no images, once, counted by ending."""
    if left_out:
        warnings.warn(
            f"Left out of {str(folder)!r}: {describe_left_out(left_out)}.", stacklevel=3
        )


def describe_left_out(left_out: Counter[str]) -> str:
    """Return the endings of other files with their numbers and what reads them."""
    parts = []
    for ending, count in left_out.most_common(_MOST_ENDINGS):
        hint = what_reads(ending)
        parts.append(f"{count} {ending}{f' ({hint})' if hint else ''}")
    more = len(left_out) - _MOST_ENDINGS
    return ", ".join([*parts, f"and {more} more endings"] if more > 0 else parts)


def expected(left_out: Counter[str]) -> str:
    """Return what files are looked for, and which were there instead."""
    endings = ", ".join(readable_endings())
    there = describe_left_out(left_out)
    return (
        f"expected files that end in {endings}; received {there or 'no files'}. "
        "Add images, or check the path."
    )


def entries(folder: Place) -> tuple[Sequence[Place], Sequence[Place]]:
    """Return the folders and the other files in a folder, without hidden ones."""
    if isinstance(folder, ArchivePath):
        return folder.entries()
    with os.scandir(folder) as found:
        shown = sorted((x for x in found if not x.name.startswith(".")), key=_name)
    folders = [Path(entry.path) for entry in shown if entry.is_dir()]
    return folders, [Path(entry.path) for entry in shown if not entry.is_dir()]


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _walk(folder: Place, above: tuple[str, ...]) -> Iterator[Place]:
    """Yield all files below a folder; `above` are the real paths of those around it."""
    in_archive = isinstance(folder, ArchivePath)
    real = str(folder) if in_archive else os.path.realpath(folder)
    if real in above:
        raise ValueError(
            f"Links to folders must end, received {str(folder)!r}, which leads back to "
            f"{real!r}. Remove the link."
        )
    folders, files = entries(folder)
    yield from files
    for inner in folders:
        yield from _walk(inner, (*above, real))
