"""Images from a list: a table with a path and a label in each row."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.data.contents import Contents
from keras_vit.data.images import Images
from keras_vit.data.sources.archive import ArchivePath, Place, find_place
from keras_vit.data.sources.folder import PARTS, readable_files
from keras_vit.data.sources.tables import (
    Table,
    cell_text,
    is_frame,
    plain,
    read_table,
    table_of_frame,
)

ROLES = ("path", "label", "split", "group", "weight")
_MOST_NAMED = 5
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_WHOLE = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """How a list is read.

    Args:
        columns: from "path", "label", "split", "group" and "weight" to the names that
            these columns have in the list. None leaves a column out that has the usual
            name. Default: the same names; only path and label have to be there.
        image_dir: folder, archive or folder in an archive that the paths start from.
            Default: where the list is.
        ending: is added to each path that does not end so, such as ".jpg". Default:
            nothing.
        multi_label: whether a picture may have several labels. The label may then be
            several columns of 0 and 1, one for each class. Default False.
        label_separator: stands between several labels in one cell. Default "|".
        verify: whether each file is decoded once now. Default True.
        skip_unreadable: whether damaged files are left out. Default False.
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    image_dir: str | Path | None = None
    ending: str | None = None
    multi_label: bool = False
    label_separator: str = "|"
    verify: bool = True
    skip_unreadable: bool = False

    def check(self) -> None:
        """Raise a ValueError for columns that mean nothing in a list."""
        lists = [role for role, name in self.columns.items() if isinstance(name, list)]
        if lists and (lists != ["label"] or not self.multi_label):
            raise ValueError(
                "Only the label may be several columns, of 0 and 1, and only with "
                f"multi_label=True; received columns={dict(self.columns)}."
            )
        if not self.label_separator:
            raise ValueError("label_separator must be a text, received an empty one.")
        unknown = [role for role in self.columns if role not in ROLES]
        if unknown:
            raise ValueError(
                f"columns says which column is the {', '.join(ROLES[:-1])} or "
                f"{ROLES[-1]}, received {unknown}. For example "
                "columns={'path': 'image_id', 'label': 'species'}."
            )

    def with_ending(self, path: str) -> str:
        """Return a path of the list as the name of a file."""
        ending = self.ending or ""
        if ending and not ending.startswith("."):
            ending = f".{ending}"
        return path if path.endswith(ending) else path + ending


def images_from_list(
    source: Any,
    options: ListOptions,
    class_names: Sequence[str] | None = None,
    groups: Any = None,
) -> tuple[dict[str, Images], tuple[str, ...]]:
    """Read the rows of a list as labelled images.

    Args:
        source: path of a `.csv`, `.tsv`, `.jsonl`, `.ndjson` or `.parquet` file, also
            one in an archive; or a table of pandas, polars or PyArrow.
        options: how it is read.
        class_names: in the order of the outputs. Default: the distinct labels, sorted;
            by value if all are numbers.
        groups: group of each row, in place of the column.

    Returns:
        The images of each part; everything under "train" where no row says its part;
        and the class names.

    Raises:
        FileNotFoundError: if the list or a picture does not exist.
        ImportError: if Parquet is to be read and PyArrow is not installed.
        ValueError: if a column is missing, a cell is empty or wrong, rows contradict
            each other, or a picture cannot be read.
    """
    table, base = open_table(source, options)
    return images_from_table(table, base, options, class_names, groups)


def open_table(source: Any, options: ListOptions) -> tuple[Table, Place]:
    """Return the rows of a list and the folder that its paths start from."""
    options.check()
    if is_frame(source):
        table, base = table_of_frame(source), Path()
    else:
        place = source if isinstance(source, ArchivePath) else find_place(source)
        if not place.is_file():
            raise FileNotFoundError(f"No list {str(place)!r}. Check the path.")
        named = [options.columns.get(role, role) or "" for role in ROLES]
        wanted = [x for one in named for x in (one if isinstance(one, list) else [one])]
        table = read_table(str(place), place.read_bytes(), wanted)
        base = place.parent
    if options.image_dir is not None:
        base = find_place(options.image_dir)
        if not base.is_dir():
            raise FileNotFoundError(
                f"image_dir (--image-dir) must be a folder or an archive, received "
                f"{str(options.image_dir)!r}. Check the path."
            )
    if not len(table):
        raise ValueError(f"{table.name!r} has no rows. Add a row for each picture.")
    return table, base


def images_from_table(
    table: Table,
    base: Place,
    options: ListOptions,
    class_names: Sequence[str] | None = None,
    groups: Any = None,
) -> tuple[dict[str, Images], tuple[str, ...]]:
    """Return the images of a table, see `images_from_list`."""
    rows = _rows(table, options, groups)
    rows = _without_repeats(rows, base)
    if options.multi_label:
        names, labels = _several(table.name, rows.labels, options, class_names)
    else:
        names, labels = _numbered(table.name, rows.labels, class_names)
        _warn_of_several(table.name, names, options.label_separator)
    files = existing_files(rows.paths, rows.names, base, options, table.name)
    number_of = {name: i for i, name in enumerate(dict.fromkeys(rows.groups or ()))}
    parts: dict[str, Images] = {}
    readable = _kept(files, options)
    for part in dict.fromkeys(rows.parts):
        chosen = [
            i
            for i, own in enumerate(rows.parts)
            if own == part and files[i] in readable
        ]
        if not chosen:
            raise ValueError(
                f"None of the pictures of the part {part!r} in {table.name!r} can be "
                "read. Repair them."
            )
        paths = [files[i] for i in chosen]
        parts[part] = Images(
            paths.__getitem__,
            labels[chosen],
            num_classes=len(names),
            contents=Contents(paths.__getitem__, len(paths)),
            all_groups=_chosen(rows.groups, chosen, number_of.__getitem__, "int64"),
            all_weights=_chosen(rows.weights, chosen, float, "float32"),
            group_names=tuple(number_of),
        )
    _check_parts(table.name, parts, names)
    return parts, names


@dataclass(frozen=True)
class _Rows:
    """The cells of a list that count, one of each for every row."""

    names: list[str]
    paths: list[str]
    labels: list[Any]
    parts: list[str]
    groups: list[str] | None
    weights: list[float] | None

    def of(self, i: int) -> tuple[Any, ...]:
        columns = (self.labels, self.parts, self.groups, self.weights)
        return tuple(None if column is None else column[i] for column in columns)


def column_of(
    table: Table, options: ListOptions, role: str, needed: bool
) -> str | None:
    """Return the name of the column that is the path, the label and so on.

    Raises:
        ValueError: if it is needed or was named, and is not there.
    """
    name = options.columns.get(role, role)
    if name in table.columns:
        return name
    if name is not None and (role in options.columns or needed):
        raise ValueError(
            f"The {role} must be a column of {table.name!r}, received {name!r}; there "
            f"are {list(table.columns)}. Name it: columns={{{role!r}: ...}} "
            f"(--{role}-column)."
        )
    if needed:
        raise ValueError(
            f"A list needs a {role}, received columns={{{role!r}: None}}. Name the "
            "column."
        )
    return None


def texts_of(table: Table, column: str, role: str) -> list[str]:
    """Return the cells of a column as texts.

    Raises:
        ValueError: if one is empty, or holds several values.
    """
    values = table.columns[column]
    nested = [i for i, x in enumerate(values) if isinstance(x, (list, tuple, dict))]
    if nested:
        raise ValueError(
            f"Each {role} must be one text or number, received {values[nested[0]]!r} "
            f"in column {column!r} of {table.name!r}, {table.rows[nested[0]]}."
        )
    texts = [cell_text(value) for value in values]
    empty = [row for row, text in zip(table.rows, texts, strict=True) if not text]
    if empty:
        article = "an" if role[0] in "aeiou" else "a"
        raise ValueError(
            f"Each row needs {article} {role}, received {len(empty)} of {len(texts)} "
            f"empty cells in column {column!r} of {table.name!r}: {_listed(empty)}. "
            "Fill them or remove these rows."
        )
    return texts


def _rows(table: Table, options: ListOptions, groups: Any) -> _Rows:
    def texts(role: str, needed: bool = False) -> list[str] | None:
        column = column_of(table, options, role, needed)
        return None if column is None else texts_of(table, column, role)

    paths = texts("path", True)
    read = _label_sets if options.multi_label else None
    labels = texts("label", True) if read is None else read(table, options)
    given = texts("group") if groups is None else [cell_text(plain(x)) for x in groups]
    if given is not None and (len(given) != len(table) or "" in given):
        raise ValueError(
            f"There must be one group for each of {len(table)} rows, received "
            f"{len(given)}, {given.count('')} of them empty."
        )
    splits, weights = texts("split"), texts("weight")
    return _Rows(
        [table.rows[i] for i in range(len(table))],
        paths or [],
        labels or [],
        _parts(table, splits),
        given,
        None if weights is None else _weights(table, weights),
    )


def _parts(table: Table, splits: list[str] | None) -> list[str]:
    """Return the part of each row."""
    if splits is None:
        return ["train"] * len(table)
    part_of = {word: part for part, words in PARTS.items() for word in words}
    unknown = sorted({text for text in splits if text.lower() not in part_of})
    if unknown:
        raise ValueError(
            f"A split must be one of {list(part_of)}, received {_listed(unknown)} in "
            f"{table.name!r}. Write these words, or leave the column out with "
            "columns={'split': None} (--split-column '')."
        )
    parts = [part_of[text.lower()] for text in splits]
    if "train" not in parts:
        raise ValueError(
            f"Some rows must be of the split 'train', received {sorted(set(parts))} in "
            f"{table.name!r}. To judge a model by all of them, leave the column out: "
            "columns={'split': None} (--split-column '')."
        )
    return parts


def _weights(table: Table, texts: list[str]) -> list[float]:
    weights = []
    for row, text in zip(table.rows, texts, strict=True):
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not 0 < weight < math.inf:
            raise ValueError(
                f"A weight must be a number above 0, received {text!r} in "
                f"{table.name!r}, {row}. Correct it; remove rows that must not count, "
                "or leave the column out with columns={'weight': None} "
                "(--weight-column '')."
            )
        weights.append(weight)
    return weights


def _without_repeats(rows: _Rows, base: Place) -> _Rows:
    """Return rows with a path once each; a warning counts those that are dropped.

    Raises:
        ValueError: if two rows say different things of one path.
    """
    first: dict[str, int] = {}
    kept, contradictions = [], []
    for i, path in enumerate(rows.paths):
        place = os.path.normpath(str(base / path))
        before = first.setdefault(place, i)
        if before == i:
            kept.append(i)
        elif rows.of(before) != rows.of(i):
            what = f"{rows.labels[before]!r} and {rows.labels[i]!r}"
            if rows.labels[before] == rows.labels[i]:
                what = "another split, group or weight"
            contradictions.append(
                f"{path!r} ({rows.names[before]} and {rows.names[i]}: {what})"
            )
    if contradictions:
        raise ValueError(
            "Rows with the same path must say the same, received "
            f"{len(contradictions)} that contradict another: "
            f"{_listed(contradictions)}. Keep one row of each."
        )
    if len(kept) == len(rows.paths):
        return rows
    once = set(kept)
    example = next(path for i, path in enumerate(rows.paths) if i not in once)
    warnings.warn(
        f"{len(rows.paths) - len(kept)} rows are there twice and count once, such as "
        f"{example!r}.",
        stacklevel=4,
    )
    columns = (rows.names, rows.paths, rows.labels, rows.parts)
    optional = (rows.groups, rows.weights)
    return _Rows(
        *([column[i] for i in kept] for column in columns),
        *(None if column is None else [column[i] for i in kept] for column in optional),
    )


def _warn_of_several(where: str, names: Sequence[str], separator: str) -> None:
    """Say that labels look like several, such as "cat|dog" beside "dog"."""
    parts = {name: name.split(separator) for name in names}
    joined = [name for name in names if len(parts[name]) > 1 and all(parts[name])]
    count = Counter(part for of_name in parts.values() for part in of_name)
    if any(count[part] > 1 for name in joined for part in parts[name]):
        warnings.warn(
            f"{len(joined)} of the {len(names)} classes of {where!r} look like several "
            f"labels, such as {joined[0]!r}; each counts as one class. If a picture "
            "has several labels, pass multi_label=True (--multi-label).",
            stacklevel=4,
        )


def _numbered(
    where: str, labels: list[str], names: Sequence[str] | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names and the number of each label."""
    distinct = set(labels)
    if names is None:
        found = sorted_names(where, distinct)
        number_of = {name: number for number, name in enumerate(found)}
    else:
        found = tuple(str(name) for name in names)
        if len(set(found)) < len(found):
            raise ValueError(f"class_names must all differ, received {list(found)}.")
        number_of = {name: number for number, name in enumerate(found)}
        are_numbers = all(_WHOLE.fullmatch(label) for label in distinct)
        if are_numbers and not any(map(_NUMBER.fullmatch, found)):
            number_of = {str(number): number for number in range(len(found))}
        unknown = sorted(distinct - set(number_of))
        if unknown:
            raise ValueError(
                f"Each label must be one of class_names {list(number_of)[:20]}, "
                f"received {_listed(unknown)} in {where!r}. Correct the labels, or add "
                "the names."
            )
    return found, np.array([number_of[label] for label in labels], dtype="int64")


def _label_sets(table: Table, options: ListOptions) -> list[tuple[str, ...]]:
    """Return the labels of each row where there may be several, sorted."""
    named = options.columns.get("label")
    if isinstance(named, list):
        return _of_columns(table, named)
    column = str(column_of(table, options, "label", needed=True))
    separator = options.label_separator
    found = []
    for row, value in zip(table.rows, table.columns[column], strict=True):
        if value is None or isinstance(value, dict):
            raise ValueError(
                f"Each row needs a label, received {value!r} in column {column!r} of "
                f"{table.name!r}, {row}. Write {separator!r} alone, or an empty list, "
                "for a picture without any."
            )
        is_list = isinstance(value, (list, tuple))
        texts = value if is_list else cell_text(value).split(separator)
        texts = [cell_text(plain(text)) for text in texts]
        found.append(tuple(sorted({text for text in texts if text})))
    return found


def _of_columns(table: Table, names: list[str]) -> list[tuple[str, ...]]:
    """Return the names of the columns that have a 1 in each row."""
    missing = [name for name in names if name not in table.columns]
    if missing or len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"The labels must be two or more columns of {table.name!r}, received "
            f"{names}; there are {list(table.columns)}."
        )
    values = {"0": False, "1": True, "False": False, "True": True, "0.0": False}
    values["1.0"] = True
    found: list[list[str]] = [[] for _ in range(len(table))]
    for name in names:
        for i, value in enumerate(table.columns[name]):
            text = cell_text(value)
            if text not in values:
                raise ValueError(
                    f"Columns of labels hold 0 and 1, received {text!r} in column "
                    f"{name!r} of {table.name!r}, {table.rows[i]}."
                )
            if values[text]:
                found[i].append(name)
    return [tuple(labels) for labels in found]


def _several(
    where: str,
    labels: list[tuple[str, ...]],
    options: ListOptions,
    names: Sequence[str] | None,
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names, and 0 or 1 for each class of each row."""
    named = options.columns.get("label")
    if names is None and isinstance(named, list):
        names = named
    distinct = sorted({label for row in labels for label in row})
    if not distinct:
        raise ValueError(f"No picture in {where!r} has a label. Add some.")
    found, numbers = _numbered(where, distinct, names)
    number_of = dict(zip(distinct, numbers.tolist(), strict=True))
    hot = np.zeros((len(labels), len(found)), "float32")
    for i, row in enumerate(labels):
        hot[i, [number_of[label] for label in row]] = 1
    return found, hot


def sorted_names(where: str, labels: set[str]) -> tuple[str, ...]:
    """Return the distinct labels in order: by value if all are numbers.

    Raises:
        ValueError: if one number is written in two ways.
    """
    if not all(map(_NUMBER.fullmatch, labels)):
        alike = Counter(label.casefold() for label in labels)
        twice = sorted(label for label in labels if alike[label.casefold()] > 1)
        if twice:
            warnings.warn(
                f"Labels in {where!r} differ only in upper and lower case, and are "
                f"classes of their own: {_listed(twice)}.",
                stacklevel=6,
            )
        return tuple(sorted(labels))
    by_value: dict[float, str] = {}
    for label in sorted(labels):
        other = by_value.setdefault(float(label), label)
        if other != label:
            raise ValueError(
                f"A label must be written in one way, received {other!r} and {label!r} "
                f"in {where!r}. Write both alike if they mean one class."
            )
    return tuple(by_value[value] for value in sorted(by_value))


def existing_files(
    paths: Sequence[str],
    rows: Sequence[str],
    base: Place,
    options: ListOptions,
    where: str,
) -> list[Place]:
    """Return the file of each path.

    Raises:
        FileNotFoundError: if some are missing; the message counts and names them.
    """
    files: list[Place] = [base / options.with_ending(_home(path)) for path in paths]
    with_rows = zip(files, rows, strict=True)
    missing = [f"{str(f)!r} ({row})" for f, row in with_rows if not f.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(files)} pictures of {where!r} do not exist: "
            f"{_listed(missing)}. Paths start from {str(base)!r}; name another folder "
            "with image_dir (--image-dir), and what to add to names without an ending "
            "with ending, such as '.jpg' (--ending)."
        )
    return files


def _home(path: str) -> str:
    return os.path.expanduser(path) if path.startswith("~") else path


def _kept(files: list[Place], options: ListOptions) -> set[Place]:
    """Return the files that are used: all, or all that can be read."""
    if not (options.verify or options.skip_unreadable):
        return set(files)
    return set(readable_files(files, options.skip_unreadable))


def _chosen(
    values: list[Any] | None,
    chosen: list[int],
    convert: Callable[[Any], Any],
    dtype: str,
) -> np.ndarray | None:
    if values is None:
        return None
    return np.array([convert(values[i]) for i in chosen], dtype=dtype)


def _present(part: Images) -> set[int]:
    """Return the numbers of the classes that a part has."""
    if part.is_multi_label:
        return set(np.flatnonzero(part.labels.any(axis=0)).tolist())
    return set(part.labels.tolist())


def _check_parts(
    where: str, parts: Mapping[str, Images], names: tuple[str, ...]
) -> None:
    """Raise a ValueError if a part has classes that training lacks, or its groups."""
    train = parts["train"]
    for name, part in parts.items():
        added = sorted(names[i] for i in _present(part) - _present(train))
        if added:
            raise ValueError(
                f"Each class in {name!r} must be in 'train', received {added[:5]} only "
                f"in {name!r} of {where!r}. Correct the column split."
            )
    if train.groups is None:
        return
    for name, part in parts.items():
        groups = part.groups
        if name == "train" or groups is None:
            continue
        shared = np.intersect1d(train.groups, groups)
        if len(shared):
            raise ValueError(
                f"No group may be on both sides of a split, received {len(shared)} in "
                f"'train' and in {name!r} of {where!r}. Correct the columns split and "
                "group, or leave one out with columns={'group': None} "
                "(--group-column '')."
            )


def _listed(values: Sequence[str]) -> str:
    more = ", ..." if len(values) > _MOST_NAMED else ""
    return ", ".join(values[:_MOST_NAMED]) + more
