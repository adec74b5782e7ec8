"""Zip and tar archives, read where they are: nothing is unpacked to the disk."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import warnings
import weakref
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from keras_vit.data.sources.gzip_bytes import GzipBytes
from keras_vit.data.sources.tables import is_list
from keras_vit.image_formats import readable_endings

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
_OTHERS = (".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar", ".gz")
# What macOS adds beside the files.
_OF_THE_SYSTEM = "__MACOSX"


def is_archive(path: str | Path) -> bool:
    """Return whether a name ends as an archive's that can be read."""
    return str(path).lower().endswith(ENDINGS)


def check_archive_name(path: str | Path) -> None:
    """Raise a ValueError for a kind of archive that is not read."""
    if not is_archive(path) and str(path).lower().endswith(_OTHERS):
        raise ValueError(
            f"Archives end in one of {list(ENDINGS)}, received {str(path)!r}. Pack the "
            "files anew, or unpack them to a folder."
        )


class Archive:
    """The files in a zip, tar or tar.gz archive, read by name in any thread.

    Names are only looked up among those in the archive: none leads out of it. Of a
    name that is there twice, the last one counts, as when it is unpacked. A warning
    counts links and devices in a tar archive, which are left out.

    Args:
        path: of the archive.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is damaged, encrypted, or holds a name that leads out of it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._gzip: GzipBytes | None = None
        self._zip: zipfile.ZipFile | None = None
        self._file: BinaryIO | None = None
        # From a name to where its bytes are: what zipfile says, or (offset, size).
        self._members: dict[str, Any] = {}
        self._folders: dict[str, dict[str, bool]] = {"": {}}
        try:
            self._open()
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(
                f"The archive {str(path)!r} cannot be read: {error}. Copy it again, or "
                "pack it anew."
            ) from error
        for name in self._members:
            self._note(name)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Said when it was opened first.
            Archive.__init__(self, state["path"])

    @property
    def root(self) -> ArchivePath:
        """The folder of all that is in the archive."""
        return ArchivePath(self, "")

    def content_root(self) -> ArchivePath:
        """The folder that people mean: not one that was packed around all others.

        A folder with nothing beside it is looked through if it holds a list, or folders
        and no pictures: as a class it would be the only one.
        """
        root, endings = self.root, set(readable_endings())
        while True:
            folders, files = root.entries()
            if files or len(folders) != 1:
                return root
            inner, beside = folders[0].entries()
            has_list = any(is_list(path.name) for path in beside)
            has_pictures = any(path.suffix.lower() in endings for path in beside)
            if not has_list and (has_pictures or not inner):
                return root
            root = folders[0]

    def read(self, name: str) -> bytes:
        """Return the bytes of a file in the archive.

        Raises:
            OSError: if it is damaged.
            KeyError: if there is no such file.
        """
        self._follow_fork()
        member = self._members[name]
        if self._zip is not None:
            return self._zip.read(member)
        offset, size = member
        if self._gzip is not None:
            found = self._gzip.read_at(offset, size)
        else:
            with self._lock:
                file: Any = self._file
                file.seek(offset)
                found = file.read(size)
        if len(found) != size:
            raise OSError(f"{name!r} in {str(self.path)!r} is cut off")
        return found

    def _follow_fork(self) -> None:
        """Open the file anew in another process: a place in it belongs to both."""
        if self._process == os.getpid():
            return
        self._lock = threading.Lock()
        if self._zip is not None:
            self._zip = zipfile.ZipFile(self._opened())
        elif self._gzip is not None:
            self._gzip.reopen(self._opened())
        else:
            self._file = self._opened()
        self._process = os.getpid()

    def names(self) -> list[str]:
        """Return the names of all files, as they stand in the archive."""
        return list(self._members)

    def _open(self) -> None:
        if not self.path.is_file():
            raise FileNotFoundError(f"No archive {str(self.path)!r}. Check the path.")
        if self.path.suffix.lower() == ".zip":
            # zipfile closes files that it has opened itself when no member is read.
            self._zip = zipfile.ZipFile(self._opened())
            for info in self._zip.infolist():
                if info.flag_bits & 1:
                    raise ValueError(
                        f"Archives must not be encrypted, received {str(self.path)!r}. "
                        "Unpack it with its password to a folder."
                    )
                # Some programs of Windows write the sign that the format forbids.
                name = info.filename.replace("\\", "/")
                if not name.endswith("/"):
                    self._add(name, info)
            return
        packed = self.path.name.lower().endswith((".gz", ".tgz"))
        source: Any = self._opened()
        source = GzipBytes(source) if packed else source
        with tarfile.open(fileobj=source, mode="r|" if packed else "r:") as tar:
            self._add_all(tar)
        if packed:
            while source.read_on(2**20):
                pass  # To the end, where the sum of all bytes stands.
            self._gzip = source
        else:
            self._file = source

    def _opened(self) -> BinaryIO:
        file = self.path.open("rb")
        weakref.finalize(self, file.close)
        return file

    def _add_all(self, tar: tarfile.TarFile) -> None:
        left_out: Counter[str] = Counter()
        for member in tar:
            if member.islnk() and _name(member.linkname) in self._members:
                self._add(member.name, self._members[_name(member.linkname)])
            elif member.isreg() and not member.issparse():
                self._add(member.name, (member.offset_data, member.size))
            elif not member.isdir():
                left_out["links" if member.issym() or member.islnk() else "others"] += 1
        if left_out:
            counts = ", ".join(f"{count} {kind}" for kind, count in left_out.items())
            warnings.warn(
                f"Left out of {str(self.path)!r}, as no plain files: {counts}.",
                stacklevel=5,
            )

    def _add(self, given: str, member: Any) -> None:
        name = _name(given)
        if name.startswith("../") or name in ("", ".."):
            raise ValueError(
                f"Names in an archive must stay inside it, received {given!r} in "
                f"{str(self.path)!r}. Do not trust it; pack the files anew."
            )
        if name.split("/")[0] != _OF_THE_SYSTEM:
            self._members[name] = member

    def _note(self, name: str) -> None:
        """Remember which folders a file is in."""
        parent, _, last = name.rpartition("/")
        self._folders.setdefault(parent, {})[last] = False
        while parent:
            parent, _, last = parent.rpartition("/")
            self._folders.setdefault(parent, {})[last] = True


def _name(name: str) -> str:
    """Return a name in an archive without "." and without a leading slash."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class ArchivePath:
    """A file or folder in an archive, used as `pathlib.Path` is; a picture, too.

    Args:
        archive: that it is in.
        inside: its name there, with "/" between folders; "" is all of the archive.
    """

    __slots__ = ("archive", "inside")

    def __init__(self, archive: Archive, inside: str) -> None:
        self.archive = archive
        self.inside = inside

    @property
    def name(self) -> str:
        """Last part of the name."""
        return self.inside.rpartition("/")[2] or self.archive.path.name

    @property
    def suffix(self) -> str:
        """Ending of the name, such as ".jpg"."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> ArchivePath:
        """The folder that it is in."""
        return ArchivePath(self.archive, self.inside.rpartition("/")[0])

    @property
    def filename(self) -> str:
        """How errors call it."""
        return str(self)

    def __truediv__(self, name: str) -> ArchivePath:
        return ArchivePath(self.archive, _name(f"{self.inside}/{name}"))

    def is_file(self) -> bool:
        """Return whether there is such a file."""
        return self.inside in self.archive._members

    def is_dir(self) -> bool:
        """Return whether there is such a folder."""
        return self.inside in self.archive._folders

    def is_symlink(self) -> bool:
        """Return False: links are left out."""
        return False

    def exists(self) -> bool:
        """Return whether there is something of that name."""
        return self.is_file() or self.is_dir()

    def entries(self) -> tuple[list[ArchivePath], list[ArchivePath]]:
        """Return the folders and the files in this folder, without hidden ones."""
        inside = self.archive._folders.get(self.inside, {})
        shown = sorted(name for name in inside if not name.startswith("."))
        folders = [self / name for name in shown if inside[name]]
        return folders, [self / name for name in shown if not inside[name]]

    def read_bytes(self) -> bytes:
        """Return what is in the file."""
        return self.archive.read(self.inside)

    def opened(self) -> BinaryIO:
        """Return the file, open; its bytes are in memory."""
        return io.BytesIO(self.read_bytes())

    def __str__(self) -> str:
        return str(self.archive.path / self.inside)

    def __repr__(self) -> str:
        return f"ArchivePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ArchivePath)
            and self.inside == other.inside
            and self.archive.path == other.archive.path
        )

    def __hash__(self) -> int:
        return hash(self.inside)

    def __lt__(self, other: ArchivePath) -> bool:
        return self.inside < other.inside


# A file or folder, on the disk or in an archive.
Place = Path | ArchivePath


def find_place(path: str | Path) -> Place:
    """Return what a path means: "set.zip/train" is a folder in an archive.

    Raises:
        ValueError: if an archive cannot be read, or is of a kind that is not read.
    """
    path = Path(path).expanduser()
    for above in (path, *path.parents):
        if above.is_file():
            check_archive_name(above)
            if is_archive(above):
                inside = path.relative_to(above).as_posix()
                return Archive(above).root / inside
    return path
