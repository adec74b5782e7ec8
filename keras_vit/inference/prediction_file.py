"""The rows of a file of predictions, and how one that was stopped goes on."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from keras_vit.data.sources.lists import texts_of
from keras_vit.data.sources.tables import cell_text, read_table

_FIXED = ("path", "class", "probability", "error")
LABELS = "labels"
# Between the labels of a picture, as `load_data` reads it; alone: it has none.
SEPARATOR = "|"
# Probabilities of the same model differ less, on each backend and for each batch.
_TOLERANCE = 1e-4
_WAY_OUT = "Choose another output, or replace it with overwrite=True (--overwrite)."


class Layout(Protocol):
    """What the columns of a file hold.

    Attributes:
        header: names of the columns.
        name_column: number of the one that names the picture.
    """

    header: list[str]
    name_column: int

    def is_error(self, cells: Sequence[str]) -> bool:
        """Return whether a row says why a picture cannot be read."""
        ...

    def row(self, name: str, top: str, probabilities: np.ndarray) -> list[str]:
        """Return the cells of a picture."""
        ...


@dataclass
class PredictionLayout:
    """Path, top class, its probability, each class, and why a picture has none."""

    classes: Sequence[str]
    header: list[str] = field(init=False)
    name_column: int = 0

    def __post_init__(self) -> None:
        names = _column_names(self.classes, _FIXED)
        self.header = [*_FIXED[:3], *names, _FIXED[3]]

    def is_error(self, cells: Sequence[str]) -> bool:
        """Return whether a row says why a picture cannot be read."""
        return bool(cells[-1])

    def row(self, name: str, top: str, probabilities: np.ndarray) -> list[str]:
        """Return the cells of a picture."""
        # A model with one output named yes: its probability is that of the only class.
        numbers = [number_text(p) for p in probabilities]
        best = numbers[list(self.classes).index(top)]
        return [name, top, best, *numbers, ""]

    def error_row(self, name: str, error: Exception) -> list[str]:
        """Return the cells of a picture that cannot be read."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return [name, *[""] * (len(self.header) - 2), reason]


@dataclass
class LabelsLayout(PredictionLayout):
    """Path, the labels of a picture that may have several, each class, why it has none.

    Labels are joined by a bar, which alone says that there are none, as in the lists
    that `load_data` reads.
    """

    thresholds: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        fixed = (_FIXED[0], LABELS, _FIXED[3])
        names = _column_names(self.classes, fixed)
        self.header = [*fixed[:2], *names, fixed[2]]

    def row(self, name: str, top: str, probabilities: np.ndarray) -> list[str]:
        """Return the cells of a picture."""
        found = labels_text(self.classes, probabilities, self.thresholds, SEPARATOR)
        numbers = [number_text(p) for p in probabilities]
        return [name, found or SEPARATOR, *numbers, ""]


def labels_text(
    classes: Sequence[str],
    probabilities: np.ndarray,
    thresholds: np.ndarray,
    separator: str,
) -> str:
    """Return the classes that are on a picture, in the order of the model."""
    chosen = np.flatnonzero(probabilities >= thresholds).tolist()
    return separator.join(classes[i] for i in chosen)


def _column_names(classes: Sequence[str], fixed: Sequence[str]) -> list[str]:
    return [f"class {name}" if name in fixed else name for name in classes]


@dataclass
class SubmissionLayout:
    """The columns of a sample submission: an id, and a label or probabilities.

    Args:
        header: names of the columns.
        classes: of the model.
        name_column: number of the one with the ids.
        thresholds: of the classes, if a picture may have several. Default None.
        separator: between several labels in one column.
    """

    header: list[str]
    classes: Sequence[str]
    name_column: int = 0
    thresholds: np.ndarray | None = None
    separator: str = " "

    def is_error(self, cells: Sequence[str]) -> bool:
        """Return False: each id has an answer."""
        return False

    def row(self, name: str, top: str, probabilities: np.ndarray) -> list[str]:
        """Return the cells of a picture."""
        if self.thresholds is not None:
            top = labels_text(
                self.classes, probabilities, self.thresholds, self.separator
            )
        number_of = {name: number for number, name in enumerate(self.classes)}
        cells = [
            number_text(probabilities[number_of[column]])
            if column in number_of
            else top
            for column in self.header[1:]
        ]
        return [name, *cells]


def read_submission(
    path: str | Path, classes: Sequence[str], thresholds: np.ndarray | None = None
) -> tuple[SubmissionLayout, list[str]]:
    """Read which ids a sample submission has, and which columns.

    The first column is the id. One more that is no class gets the label, or all labels
    joined by a bar if the sample has one, else by spaces; columns that are classes get
    their probabilities.

    Args:
        path: of the sample.
        classes: of the model.
        thresholds: of the classes, if a picture may have several. Default None.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no CSV file, an id is empty or there twice, or the columns
            are none of these; the message says which.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"No file {str(path)!r}. Check the path.")
    if path.suffix.lower() != ".csv":
        raise ValueError(f"A sample submission is a .csv file, received {str(path)!r}.")
    table = read_table(str(path), path.read_bytes())
    names = list(table.columns)
    ids = texts_of(table, names[0], "id")
    if not ids or len(names) < 2:
        raise ValueError(
            f"A sample submission has an id and a column to fill, received {names} and "
            f"{len(ids)} rows in {str(path)!r}."
        )
    twice = sorted({own for own in ids if ids.count(own) > 1}) if _repeat(ids) else []
    if twice:
        raise ValueError(
            f"Each id must be there once, received {twice[:5]} more often in "
            f"{str(path)!r}."
        )
    values, separator = table.columns[names[1]], " "
    if thresholds is not None and len(names) == 2 and names[1] not in classes:
        separator = _separator(str(path), names[1], values, classes)
        values = [x for value in values for x in cell_text(value).split(separator)]
    _tell_other_labels(str(path), names[1:], values, classes)
    others = [name for name in names[1:] if name not in classes]
    missing = [name for name in classes if name not in names[1:]]
    if len(names) > 2 and (others or missing):
        raise ValueError(
            f"The columns of {str(path)!r} must be the classes of the model, received "
            f"{others[:5]} that are none, and none for {missing[:5]}. Train on labels "
            "of these names, or pass another sample."
        )
    layout = SubmissionLayout(
        names, classes, thresholds=thresholds, separator=separator
    )
    return layout, ids


def _separator(
    where: str, column: str, values: list[Any], classes: Sequence[str]
) -> str:
    """Return what stands between the labels of a sample."""
    has_bar = any(SEPARATOR in cell_text(value) for value in values)
    separator = SEPARATOR if has_bar else " "
    torn = [name for name in classes if separator in name]
    if torn:
        raise ValueError(
            f"The labels in the column {column!r} of {where!r} are joined by "
            f"{separator!r}, which is in the names {torn[:5]}. Use a sample whose "
            f"cells have {SEPARATOR!r} between labels, or one column per class."
        )
    return separator


def _tell_other_labels(
    where: str, columns: list[str], values: list[Any], classes: Sequence[str]
) -> None:
    """Warn if the labels of a sample are none that the model gives."""
    found = sorted({cell_text(value) for value in values} - {""})
    if len(columns) > 1 or columns[0] in classes or not found:
        return
    if not set(found) & set(classes):
        warnings.warn(
            f"The column {columns[0]!r} of {where!r} gets names of classes, such as "
            f"{classes[0]!r}, and the sample has {_short(found)}, none of which is "
            "one: look whether that is what is asked for.",
            stacklevel=4,
        )


def _repeat(ids: list[str]) -> bool:
    return len(set(ids)) < len(ids)


def number_text(value: Any) -> str:
    """Return a probability as text: as many digits as it has."""
    return f"{float(value):.7g}"


def line(cells: Sequence[str]) -> bytes:
    """Return a row of a file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode("utf-8")


@dataclass
class Kept:
    """The rows of a file that was begun.

    Args:
        count: of whole rows.
        size: bytes of these and of the header.
        samples: some of them, by number.
        unreadable: names of the pictures that could not be read.
    """

    count: int = 0
    size: int = 0
    samples: dict[int, list[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def kept_rows(path: Path, layout: Layout, names: Sequence[str]) -> Kept:
    """Return which rows of a file can stay; an incomplete last line does not count.

    Raises:
        ValueError: if the file has other columns, or rows of other pictures.
    """
    kept, last = Kept(), {}
    with path.open("rb") as file:
        rows = _rows(file)
        header, end = next(rows, ([], 0))
        if not header:
            return kept
        if header != layout.header:
            raise ValueError(
                f"{str(path)!r} must have the columns {_short(layout.header)} to go on "
                f"with, received {_short(header)}: it is of another model or kind. "
                f"{_WAY_OUT}"
            )
        kept.size = end
        for row, end in rows:
            number, column = kept.count, layout.name_column
            if len(row) != len(header):
                break  # The end of the file, in a cell of several lines.
            own = names[number] if number < len(names) else None
            if row[column] != own:
                raise ValueError(
                    f"{str(path)!r} must hold the pictures in the order given, but has "
                    f"{row[column]!r} in row {number + 1} instead of {own!r}. "
                    f"{_WAY_OUT}"
                )
            kept.count, kept.size = number + 1, end
            if layout.is_error(row):
                kept.unreadable.append(row[column])
            if number < 4 or number & (number - 1) == 0:
                kept.samples[number] = row
            last = {number: row}
        kept.samples.update(last)
    return kept


def check_same_model(
    path: Path, layout: Layout, kept: Kept, predicted: dict[int, list[str]]
) -> None:
    """Raise a ValueError if rows of a file are not what the model gives now.

    Pictures that could not be read, then or now, say nothing.
    """
    for number, row in kept.samples.items():
        own = predicted[number]
        if layout.is_error(row) or layout.is_error(own) or _are_alike(row, own):
            continue
        raise ValueError(
            f"{str(path)!r} is of another model or preprocessing: for "
            f"{row[layout.name_column]!r} it says {_short(row[1:])}, and this model "
            f"{_short(own[1:])}. {_WAY_OUT}"
        )


def _are_alike(row: list[str], other: list[str]) -> bool:
    """Return whether two rows say the same, but for the last digits."""
    apart = [_distance(a, b) for a, b in zip(row, other, strict=True)]
    # Of two classes that are equally likely, either may come first.
    is_tie = len(row) > 3 and max(apart[2:]) <= _TOLERANCE
    return is_tie or max(apart) <= _TOLERANCE


def _distance(cell: str, other: str) -> float:
    if cell == other:
        return 0.0
    try:
        return abs(float(cell) - float(other))
    except ValueError:
        return 1.0


def _rows(file: BinaryIO) -> Iterator[tuple[list[str], int]]:
    """Yield each whole row of a CSV file and where it ends, without reading it all."""
    place = 0

    def lines() -> Iterator[str]:
        nonlocal place
        for content in file:
            if not content.endswith(b"\n"):
                return
            place += len(content)
            yield content.decode("utf-8", "replace")

    try:
        for row in csv.reader(lines()):
            yield row, place
    except csv.Error as error:
        raise ValueError(
            f"{file.name!r} is no file of predictions: {error}. {_WAY_OUT}"
        ) from error


def _short(cells: Sequence[str]) -> str:
    more = ", ..." if len(cells) > 6 else ""
    return f"[{', '.join(map(repr, cells[:6]))}{more}]"
