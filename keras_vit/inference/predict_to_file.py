"""The classes of many pictures in a file, which goes on where it was stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from keras_vit.data.checks import check_value
from keras_vit.data.sources.lists import ListOptions
from keras_vit.files import explain
from keras_vit.image_progress import ImageProgress
from keras_vit.inference.augmented import Views, augmented
from keras_vit.inference.named_pictures import (
    NamedPictures,
    held_out_from,
    open_pictures,
    pictures_of_ids,
)
from keras_vit.inference.predict import most_likely
from keras_vit.inference.prediction_file import (
    Kept,
    LabelsLayout,
    Layout,
    PredictionLayout,
    check_same_model,
    kept_rows,
    line,
    read_submission,
)
from keras_vit.inference.predictor import Predictor, load_predictor
from keras_vit.pages.in_notebook import InNotebook, note
from keras_vit.preprocessing import Preprocessing
from keras_vit.read_image import why_unreadable

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class PredictionFile(InNotebook):
    """What was written by `predict_to_file`.

    Args:
        path: of the file.
        num_pictures: rows in it.
        num_kept: how many of them were there before.
        unreadable: names of the pictures that cannot be read; their rows say why.

    Example:
        ```python
        written = keras_vit.predict_to_file(
            "saved_models/photos", "new_photos/", "predictions.csv", verbose=False
        )
        written.num_pictures, written.unreadable  # (8, ())
        print(written.path)  # predictions.csv
        ```
    """

    path: Path
    num_pictures: int
    num_kept: int = 0
    unreadable: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "path": str(self.path)}

    def text(self) -> str:
        """Return one line for people."""
        kept = f", {self.num_kept:,} of them from before" if self.num_kept else ""
        bad = len(self.unreadable)
        named = ", ".join(self.unreadable[:_MOST_NAMED])
        more = ", ..." if bad > _MOST_NAMED else ""
        unread = f"; {bad} cannot be read: {named}{more}" if bad else ""
        return f"{self.path}: {self.num_pictures:,} pictures{kept}{unread}"

    def _notebook(self) -> Iterator[str]:
        yield note(self.text())


Model = keras.Model | str | Path | Predictor


def predict_to_file(
    model: Model | Sequence[Model],
    source: Any,
    output: str | Path,
    *,
    submission: str | Path | None = None,
    held_out: bool = False,
    columns: Mapping[str, str | None] | None = None,
    image_dir: str | Path | None = None,
    ending: str | None = None,
    batch_size: int = 32,
    preprocessing: Preprocessing | None = None,
    augment: Views | None = None,
    overwrite: bool = False,
    verbose: bool = True,
) -> PredictionFile:
    """Write the classes of many pictures to a CSV file, batch by batch.

    A row has `path`, `class` (the most likely one), its `probability`, the probability
    of each class in a column of its name, and `error`: why a picture cannot be read. Of
    a model for several labels per picture, `labels` takes the place of `class` and
    `probability`: those from whose threshold on the probability is, such as cat|dog, or
    | for none. Memory does not grow with the number of pictures.

    While it is written the file is called `OUTPUT.partial`. The same call goes on with
    it after a stop: whole rows stay. So does a call on a finished file. That the rows
    are of the same model is found by predicting some of them again.

    Args:
        model: as in `predict`; or several of the same classes, such as those of all
            folds: a probability is then the mean of theirs, and so is a threshold.
        source: a folder, an archive (.zip, .tar, .tar.gz), a list (.csv, .tsv, .jsonl,
            .parquet; its labels are not needed), a picture, or several of these but for
            lists; or a table of pandas, polars or PyArrow.
        output: a `.csv` file.
        submission: a sample submission of Kaggle. The file then has its ids and
            columns: the most likely class in one column (several labels with a bar
            between them, if the sample has one, else a space), or a probability in a
            column of each class. An id is the path, the file name, or the name without
            its ending, of a picture in `source`.
        held_out: whether only pictures are predicted that the run of the model was not
            trained on, which its output folder tells by their contents: for models of
            all folds, predictions of each picture by the one that has not seen it.
            Default False.
        columns: {"path": ...} names the column of the paths. Default: path.
        image_dir: folder or archive that the paths of a list start from. Default: the
            folder of the list.
        ending: is added to paths and ids that do not end so, such as ".jpg".
        batch_size: pictures per call of the model. Default 32.
        preprocessing: takes the place of the model's own.
        augment: views of each picture over which probabilities are averaged, as in
            `predict`. Default None.
        overwrite: whether a file that is there is replaced. Default False.
        verbose: whether progress is told on the error stream. Default True.

    Returns:
        A `PredictionFile`: its path, the number of pictures, those that cannot be read.

    Raises:
        FileNotFoundError: if a model, picture or list does not exist.
        ImportError: if the runtime for the model is not installed.
        OSError: if the file cannot be written.
        ValueError: if what is there is of another model or of other pictures; an id has
            no picture, a column is no class, or a picture of a submission cannot be
            read.

    Example:
        ```python
        written = keras_vit.predict_to_file(
            "saved_models/photos", "new_photos/", "predictions.csv", verbose=False
        )
        print(written.text())  # predictions.csv: 8 pictures
        ```
    """
    check_value(batch_size >= 1, "batch_size", batch_size, "at least 1")
    path = Path(output).expanduser()
    if path.suffix.lower() != ".csv" or path.is_dir():
        raise ValueError(f"The output is a .csv file, received {str(output)!r}.")
    options = ListOptions(columns=columns or {}, image_dir=image_dir, ending=ending)
    models = list(model) if isinstance(model, (list, tuple)) else [model]
    opened = [load_predictor(one, preprocessing) for one in models]
    predictors = [augmented(predictor, augment) for predictor in opened]
    classes = _common_classes(predictors)
    predictors = _with_common_thresholds(predictors)
    pictures = open_pictures(source, options)
    if held_out:
        pictures = held_out_from(pictures, models[0] if len(models) == 1 else None)
    thresholds, layout = None, cast(Layout, PredictionLayout(classes))
    if predictors[0].is_multi_label:
        thresholds = np.asarray(predictors[0].thresholds)
        layout = LabelsLayout(classes, thresholds=thresholds)
    if submission is not None:
        layout, ids = read_submission(submission, classes, thresholds)
        pictures = pictures_of_ids(ids, pictures, options, str(submission))
        _check_readable(pictures)
    work = _Work(predictors, pictures, layout, classes, batch_size)
    try:
        return _written(work, path, overwrite, verbose)
    except OSError as error:
        raise explain(error, path) from error


@dataclass(frozen=True)
class _Row:
    """The cells of a picture, and whether they say that it cannot be read."""

    cells: list[str]
    is_error: bool = False


@dataclass(frozen=True)
class _Work:
    """What is predicted, and how it is written."""

    predictors: Sequence[Predictor]
    pictures: NamedPictures
    layout: Layout
    classes: Sequence[str]
    batch_size: int

    def rows(self, numbers: Sequence[int]) -> Iterator[list[_Row]]:
        """Yield what is said of pictures, batch by batch."""
        places = [self.pictures.places[i] for i in numbers]
        names = (self.pictures.names[i] for i in numbers)
        passes = [
            predictor.outputs_in_batches(places, self.batch_size, keep_going=True)
            for predictor in self.predictors
        ]
        for batches in zip(*passes, strict=True):
            pictures = zip(*batches, strict=True)
            yield [self._row(next(names), outputs) for outputs in pictures]

    def _row(self, name: str, outputs: Sequence[Any]) -> _Row:
        error = next((x for x in outputs if isinstance(x, Exception)), None)
        if error is not None:
            if isinstance(self.layout, PredictionLayout):
                return _Row(self.layout.error_row(name, error), is_error=True)
            raise error
        pairs = zip(self.predictors, outputs, strict=True)
        each = [predictor.probabilities(out[None])[0] for predictor, out in pairs]
        if {one.shape for one in each} != {(len(self.classes),)}:
            raise ValueError(
                "The model must have one output per class, received outputs of shape "
                f"{outputs[0].shape} for {len(self.classes)} classes."
            )
        probabilities = np.mean(each, axis=0)
        (best,) = most_likely(probabilities, 1, self.predictors[0])
        return _Row(self.layout.row(name, self.classes[best.index], probabilities))


def _written(work: _Work, path: Path, overwrite: bool, verbose: bool) -> PredictionFile:
    """Write what is missing of a file, and give it its name once it is whole."""
    pictures, partial = work.pictures, path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = Kept()
    begun = partial if partial.exists() else path if path.exists() else None
    if begun is not None and not overwrite:
        kept = kept_rows(begun, work.layout, pictures.names)
        _check_model(work, begun, kept)
        if begun == path and kept.count == len(pictures):
            return _result(path, pictures, kept, [])
        if begun == path:
            shutil.copyfile(path, partial)
    unreadable = []
    progress = ImageProgress(len(pictures), kept.count, verbose=verbose)
    with partial.open("r+b" if kept.size else "wb") as file:
        file.truncate(kept.size)
        file.seek(kept.size)
        if not kept.size:
            file.write(line(work.layout.header))
        for rows in work.rows(range(kept.count, len(pictures))):
            file.write(b"".join(line(row.cells) for row in rows))
            file.flush()
            bad = [row.cells for row in rows if row.is_error]
            unreadable += [cells[work.layout.name_column] for cells in bad]
            progress.add(len(rows))
    progress.close()
    os.replace(partial, path)
    return _result(path, pictures, kept, unreadable)


def _result(
    path: Path, pictures: NamedPictures, kept: Kept, unreadable: list[str]
) -> PredictionFile:
    return PredictionFile(
        path=path,
        num_pictures=len(pictures),
        num_kept=kept.count,
        unreadable=(*kept.unreadable, *unreadable),
    )


def _check_model(work: _Work, path: Path, kept: Kept) -> None:
    """Raise a ValueError if rows that are there are not of this model."""
    numbers = sorted(kept.samples)
    rows = [row.cells for batch in work.rows(numbers) for row in batch]
    check_same_model(path, work.layout, kept, dict(zip(numbers, rows, strict=True)))


def _common_classes(predictors: Sequence[Predictor]) -> list[str]:
    """Return one name per probability.

    Raises:
        ValueError: if models differ in their classes or the order of these.
    """
    if not predictors:
        raise ValueError("There must be a model, received none.")
    classes = _classes(predictors[0])
    for other in predictors[1:]:
        if _classes(other) != classes:
            raise ValueError(
                "Models whose probabilities are averaged must have the same classes in "
                f"the same order, received {classes[:5]} of {predictors[0].name!r} and "
                f"{_classes(other)[:5]} of {other.name!r}."
            )
    return classes


def _with_common_thresholds(predictors: list[Predictor]) -> list[Predictor]:
    """Return models with the mean of their thresholds, if they have some.

    Raises:
        ValueError: if some are for one label and some for several.
    """
    several = [predictor.is_multi_label for predictor in predictors]
    if any(several) and not all(several):
        one, other = several.index(True), several.index(False)
        raise ValueError(
            "Models whose probabilities are averaged must all name one class of a "
            f"picture, or all several; {predictors[one].name!r} names several and "
            f"{predictors[other].name!r} one."
        )
    if all(predictor.thresholds is None for predictor in predictors):
        return predictors
    # Those of no and yes that have none say yes from one half on.
    each = [np.asarray(predictor.thresholds or (0.5,)) for predictor in predictors]
    mean = tuple(np.mean(each, axis=0).tolist())
    return [replace(predictor, thresholds=mean) for predictor in predictors]


def _classes(predictor: Predictor) -> list[str]:
    """Return one name per probability."""
    if predictor.class_names:
        return list(predictor.class_names)
    size, channels = (32, 32), predictor.preprocessing.channels
    prepared = predictor.prepare(np.zeros((*size, channels), "uint8"))
    output = np.asarray(predictor.run(prepared[None]), dtype="float32")
    if output.ndim != 2:
        raise ValueError(
            "Only a classifier can predict classes, received a model with outputs of "
            f"shape {(None, *output.shape[1:])}. Build it with num_classes."
        )
    return [str(i) for i in range(predictor.probabilities(output).shape[1])]


def _check_readable(pictures: NamedPictures) -> None:
    """Raise a ValueError if a picture of a submission has no answer."""
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(why_unreadable, pictures.places))
    bad = [
        f"{str(place)!r} ({reason})"
        for place, reason in zip(pictures.places, reasons, strict=True)
        if reason
    ]
    if bad:
        raise ValueError(
            f"A submission needs an answer for each id, and {len(bad)} of "
            f"{len(pictures)} pictures cannot be read: {', '.join(bad[:_MOST_NAMED])}"
            f"{', ...' if len(bad) > _MOST_NAMED else ''}. Repair them."
        )
