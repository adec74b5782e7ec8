"""WebDataset's shards: tar archives in which files of one name are one sample."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_vit.data.sources.archive import Archive, ArchivePath, is_archive
from keras_vit.data.sources.tables import Table, plain
from keras_vit.image_formats import readable_endings

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LABEL, _FACTS = ".cls", ".json"


def find_shards(name: str) -> list[str]:
    """Return the archives of a pattern, "train-{000..003}.tar" or "train-*.tar".

    Raises:
        FileNotFoundError: if there is none of that name.
    """
    if Path(name).exists() or not is_archive(name):
        return []
    if _RANGE.search(name):
        return _expanded(name)
    if not glob.has_magic(name):
        return []
    found = sorted(glob.glob(name))
    if not found:
        raise FileNotFoundError(f"No archive {name!r}. Check the pattern.")
    return found


def _expanded(name: str) -> list[str]:
    found = _RANGE.search(name)
    if found is None:
        return [name]
    first, last = found.groups()
    numbers = range(int(first), int(last) + 1)
    return [
        shard
        for number in numbers
        for shard in _expanded(
            name[: found.start()] + str(number).zfill(len(first)) + name[found.end() :]
        )
    ]


def is_shards(root: ArchivePath) -> bool:
    """Return whether an archive holds samples: a picture and `.cls` or `.json` each."""
    files = [path for path in root.entries()[1]]
    endings = set(readable_endings())
    pictures = {_key(path.inside) for path in files if path.suffix.lower() in endings}
    labels = {_key(p.inside) for p in files if p.suffix.lower() in (_LABEL, _FACTS)}
    return bool(pictures & labels)


def table_of_shards(archives: Sequence[Archive]) -> tuple[Table, Any]:
    """Return the samples of shards as rows, and where their paths start from.

    `KEY.cls` is the label, and each value of the object in `KEY.json` a column.

    Raises:
        ValueError: if a sample has several pictures or no label, or a file that
            describes it is damaged.
    """
    endings = set(readable_endings())
    paths, rows, records = [], [], []
    for archive in archives:
        samples: dict[str, dict[str, str]] = {}
        for name in archive.names():
            samples.setdefault(_key(name), {})[name[len(_key(name)) :].lower()] = name
        for key, files in samples.items():
            pictures = [name for ending, name in files.items() if ending in endings]
            where = f"{key!r} in {str(archive.path)!r}"
            described = {e: n for e, n in files.items() if e in (_LABEL, _FACTS)}
            if len(pictures) != 1 or not described:
                raise ValueError(
                    "Each sample of a shard needs one picture and a label, KEY.cls or "
                    f"KEY.json, received {sorted(files.values())} for {where}."
                )
            paths.append(ArchivePath(archive, pictures[0]))
            rows.append(f"sample {key}")
            records.append(_record(archive, described, where))
    names = list(dict.fromkeys(name for record in records for name in record))
    columns: dict[str, list[Any]] = {
        name: [plain(record.get(name)) for record in records] for name in names
    }
    columns["path"] = [str(path) for path in paths]
    name = str(archives[0].path) if len(archives) == 1 else f"{len(archives)} shards"
    return Table(name, columns, rows), _Shards({str(path): path for path in paths})


def _key(name: str) -> str:
    """Return the name of a sample: that of its files up to the first dot."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _record(archive: Archive, files: dict[str, str], where: str) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if _FACTS in files:
        try:
            record = json.loads(archive.read(files[_FACTS]))
        except ValueError as error:
            raise ValueError(
                f"The .json file of a sample must be a JSON object: {error}, for "
                f"{where}. Write it anew."
            ) from error
        if not isinstance(record, dict):
            raise ValueError(
                "The .json file of a sample must be a JSON object, received "
                f"{type(record).__name__} for {where}."
            )
    if _LABEL in files:
        record["label"] = archive.read(files[_LABEL]).decode("utf-8", "replace").strip()
    return record


class _Shards:
    """Where the pictures of several archives are found by their full names."""

    def __init__(self, paths: dict[str, ArchivePath]) -> None:
        self._paths = paths

    def __truediv__(self, name: str) -> ArchivePath:
        return self._paths[name]

    def __str__(self) -> str:
        return "the shards"
