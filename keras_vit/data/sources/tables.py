"""Tables of any kind as columns of plain values: CSV, JSON lines, Parquet, frames."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Integral, Real
from typing import Any

from keras_vit.data.sequences import is_table

LIST_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}
_LONGEST_CELL = 2**20


@dataclass(frozen=True)
class Table:
    """The columns of a list.

    Args:
        name: of the file, or of the kind of object.
        columns: from the name of each to its values, all of one length. A value that is
            missing is None.
        rows: how errors call each row, such as "line 7".
    """

    name: str
    columns: dict[str, list[Any]]
    rows: Sequence[str]

    def __len__(self) -> int:
        return len(self.rows)


def is_list(name: str) -> bool:
    """Return whether a file is named as a list: CSV, TSV, JSON lines or Parquet."""
    return name.lower().endswith(LIST_ENDINGS)


def is_frame(source: Any) -> bool:
    """Return whether something is a table of pandas, polars or PyArrow."""
    return is_table(source)


def table_of_frame(frame: Any) -> Table:
    """Return the columns of a table of pandas, polars or PyArrow.

    Raises:
        ValueError: if two columns have one name.
    """
    names = getattr(frame, "column_names", None) or list(frame.columns)
    names = [str(name) for name in names]
    name = f"a {type(frame).__module__.split('.')[0]} table"
    _check_names(names, name)
    columns = {}
    for number, column in enumerate(names):
        values = frame.iloc[:, number] if hasattr(frame, "iloc") else frame[column]
        as_list = getattr(values, "to_pylist", None) or getattr(values, "to_list", None)
        found = list(values) if as_list is None else as_list()
        columns[column] = [plain(value) for value in found]
    return Table(name, columns, _Rows(frame.shape[0]))


def read_table(name: str, content: bytes, wanted: Sequence[str] = ()) -> Table:
    """Read a list from the bytes of its file.

    Args:
        name: of the file; its ending says what it holds. A `.csv` file may have ";" or
            tabs between its cells, as spreadsheets write it: what gives the wanted
            columns counts.
        content: of the file. Texts are UTF-8.
        wanted: names of columns that are looked for.

    Raises:
        ImportError: if Parquet is to be read and PyArrow is not installed.
        ValueError: if the file is empty or damaged, or a row has too many or too few
            cells; the message says which.
    """
    ending = "." + name.lower().rpartition(".")[2]
    if ending == ".parquet":
        return _parquet(name, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"A list must be text in UTF-8, received {name!r}: {error}. Save it as "
            "UTF-8; Excel calls that 'CSV UTF-8'."
        ) from error
    if ending in _DELIMITERS:
        return _csv(name, text, _delimiter(text, _DELIMITERS[ending], wanted))
    return _json_lines(name, text)


def cell_text(value: Any) -> str:
    """Return a value as text, "" where it is missing; 3.0 is "3", as in a CSV file."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


class _Rows(Sequence):
    """Names of the rows of a table in memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        return f"row {range(self._count)[number]} (from 0)"


def _delimiter(text: str, possible: str, wanted: Sequence[str]) -> str:
    """Return what stands between cells: what gives most of the wanted columns."""
    (header,) = [next(iter(text.splitlines()), "")]

    def found(delimiter: str) -> int:
        cells = next(csv.reader([header], delimiter=delimiter), [])
        return len({cell.strip() for cell in cells} & set(wanted))

    return max(possible, key=found)  # The first one of equal ones.


def _csv(name: str, text: str, delimiter: str) -> Table:
    csv.field_size_limit(max(_LONGEST_CELL, csv.field_size_limit()))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines = [], []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_names(header, repr(name))
        for cells in reader:
            if not cells:
                continue  # An empty line.
            if len(cells) != len(header):
                raise ValueError(
                    f"Each row of {name!r} must have {len(header)} cells as its first "
                    f"line has, received {len(cells)} in line {reader.line_num}. "
                    "Put a text with a comma in it between quotes."
                )
            rows.append([cell.strip() or None for cell in cells])
            lines.append(f"line {reader.line_num}")
    except csv.Error as error:
        raise ValueError(
            f"{name!r} is no list that can be read: {error} in line {reader.line_num}. "
            "Write it anew as CSV."
        ) from error
    columns = {column: [r[i] for r in rows] for i, column in enumerate(header)}
    return Table(name, columns, lines)


def _json_lines(name: str, text: str) -> Table:
    records, lines = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"Each line of {name!r} must be a JSON object, received {line[:40]!r} "
                f"in line {number} ({error}). Write one object per line."
            ) from error
        if not isinstance(record, Mapping):
            raise ValueError(
                f"Each line of {name!r} must be a JSON object, received "
                f"{line.strip()[:40]!r} in line {number}. Write one object per line."
            )
        records.append(record)
        lines.append(f"line {number}")
    names = list(dict.fromkeys(key for record in records for key in record))
    _check_names(names, repr(name))
    columns = {key: [plain(record.get(key)) for record in records] for key in names}
    return Table(name, columns, lines)


def _parquet(name: str, content: bytes) -> Table:
    if find_spec("pyarrow") is None:
        raise ImportError(
            f"PyArrow is needed to read {name!r}. Install it with pip install "
            "'keras3-vit[parquet]', or write the list as CSV."
        )
    import pyarrow
    import pyarrow.parquet

    try:
        frame = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
    except Exception as error:  # Damaged files raise many types.
        raise ValueError(
            f"{name!r} is no Parquet file that can be read: {error}. Write it anew."
        ) from error
    table = table_of_frame(frame)
    return Table(name, table.columns, table.rows)


def _check_names(names: list[str], where: str) -> None:
    if not names or not any(names):
        raise ValueError(
            f"A list must have a first line with the names of its columns, received "
            f"none in {where}. Write, for example, path,label."
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Each column must have a name of its own, received {twice} more than once "
            f"in {where}. Rename or remove one."
        )


def plain(value: Any) -> Any:
    """Return a value as Python has it, None where it is missing."""
    if value is None or isinstance(value, (str, bool, list, tuple, dict)):
        return (value.strip() or None) if isinstance(value, str) else value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return None if math.isnan(number) else number
    # What pandas writes for what is missing is equal to nothing.
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value
