"""The output folder of a run: what may be written there, and what is in it."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from keras_vit.data.trained_pictures import FILE_NAME as PICTURES_FILE
from keras_vit.distribution.base import differing_keys
from keras_vit.exporting.quantizations import QUANTIZATIONS
from keras_vit.files import check_writable, replacing
from keras_vit.keras_file import load_keras
from keras_vit.model_copy import write_weights
from keras_vit.pages.in_notebook import (
    MOST_ROWS,
    InNotebook,
    plain_facts,
    plain_table,
)
from keras_vit.training.checkpoint import (
    Facts,
    Position,
    has_checkpoint,
    read_header,
)
from keras_vit.training.history import (
    HISTORY_FILE,
    History,
    plot_history,
    rank,
    write_history,
)
from keras_vit.training.run_lock import holds_something

MODEL_FILE = "model.keras"
BEST_FOLDER = "best"  # of the best epochs, where more than one is kept
CURVES_FILE = "curves.png"
RESULT_FILE = "training.json"
CHECKPOINT_FOLDER = "checkpoint"
NEW_CHECKPOINT_FOLDER = "checkpoint.new"  # while a former run is replaced
LOG_FOLDER = "tensorboard"
PICTURE_FOLDER = "pictures"  # drawn while a model trains, if asked
HEAD_FILE = "head.json"  # of a head on frozen features
# What an export writes beside the model by default, after the name of its precision.
_EXPORTED = (*(".tflite", "_saved_model", ".onnx", "_openvino", ".pt2", ".stablehlo"),)

# What a run itself writes, apart from its checkpoint.
OWN_FILES = (
    *(MODEL_FILE, RESULT_FILE, HISTORY_FILE, CURVES_FILE, PICTURES_FILE, HEAD_FILE),
)


@dataclass(frozen=True, kw_only=True)
class TrainingResult(InNotebook):
    """What came out of a training run.

    Args:
        history: one row per epoch: epoch from 1, loss, accuracy, val_loss,
            val_accuracy; of images with several labels f1 and val_f1 instead.
        best_epoch: the epoch whose weights the model has now, from 1.
        seconds: that this call trained.
        output: the folder with the files, or None.
        images_at_once: how many of a batch fit into memory together; None: not known.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        model = keras_vit.load("saved_models/photos")
        recipe = keras_vit.Recipe(epochs=1, warmup_epochs=0)
        result = keras_vit.train(model, data, recipe, verbose=0)
        result.best_epoch, len(result.history)  # (1, 1)
        sorted(result.best)  # ['accuracy', 'epoch', 'loss', 'val_accuracy', 'val_loss']
        ```
    """

    history: History = field(repr=False)
    best_epoch: int
    seconds: float
    output: Path | None
    images_at_once: int | None = None

    @property
    def best(self) -> dict[str, float]:
        """The row of the best epoch."""
        return next(row for row in self.history if row["epoch"] == self.best_epoch)

    def _notebook(self) -> Iterator[str]:
        shown = self.history[-MOST_ROWS:]
        if self.best not in shown:
            shown = [self.best, *shown[1:]]
        names = [name for name in self.best if name != "epoch"]
        rows = [
            (
                f"{row['epoch']:g}" + ", best" * (row["epoch"] == self.best_epoch),
                *(f"{row[name]:.4f}" for name in names),
            )
            for row in shown
        ]
        where = "not written" if self.output is None else self.output
        count = len(self.history)
        best = f"{self.best_epoch} of {count}"
        seconds = f"{self.seconds:.0f}"
        yield plain_facts(
            [("best epoch", best), ("seconds", seconds), ("output", where)]
        )
        yield plain_table("The last epochs", ("epoch", *names), rows)


def open_output(
    folder: Path, model: keras.Model, facts: Facts, resume: bool | None, overwrite: bool
) -> TrainingResult | None:
    """Check the output folder before any work; return the result of a complete run.

    Nothing is changed: a former run goes when all else is known to be right.

    Args:
        folder: of the output.
        model: to be trained; gets the weights of a complete run.
        facts: what the run is made of.
        resume: True goes on with what is there; None does so with a run that was
            stopped, and False never.
        overwrite: whether an earlier run is replaced.
    """
    in_use = holds_something(folder)
    if resume is None:
        resume = is_stopped(folder) and not overwrite
    if in_use and not (resume or overwrite):
        raise FileExistsError(
            f"{str(folder)!r} exists. Choose another output, continue the run in it "
            "with resume=True (--resume), or replace it with overwrite=True "
            "(--overwrite)."
        )
    if in_use and resume:
        if (folder / RESULT_FILE).is_file():
            return _read_result(folder, model, facts)
        if not _is_run(folder):
            raise FileNotFoundError(
                f"There is no run to continue in {str(folder)!r}. Start without "
                "resume, or choose the folder of a stopped run."
            )
        # Fails here, before any work, if the run cannot go on.
        if has_checkpoint(folder / CHECKPOINT_FOLDER):
            header = read_header(folder / CHECKPOINT_FOLDER)
            _check_best_model(folder, Position(**header["position"]))
    if in_use and overwrite and not resume and not _is_run(folder):
        raise FileExistsError(
            f"{str(folder)!r} holds something else than a training run, and is never "
            "overwritten. Choose another output."
        )
    # Weights, two optimizer slots and the best model, thrice while they are replaced.
    check_writable(folder, required_bytes=3 * 4 * 4 * model.count_params())
    return None


def _check_best_model(folder: Path, position: Position) -> None:
    """Raise a ValueError if the best model is lost and cannot be made anew."""
    problem = best_model_problem(folder)
    if problem and position.history and not is_best(position):
        best = int(max(position.history, key=rank)["epoch"])
        raise ValueError(
            f"The run in {str(folder)!r} cannot go on: {MODEL_FILE}, with the weights "
            f"of its best epoch {best}, {problem}, and the checkpoint is of epoch "
            f"{position.epoch}. Put the file back, or start again with overwrite=True "
            "(--overwrite)."
        )


def best_model_problem(folder: Path) -> str | None:
    """Return what is wrong with the file of the best model, None if it is whole."""
    path = folder / MODEL_FILE
    if not path.is_file():
        return "is missing"
    try:
        with zipfile.ZipFile(path) as file:
            return "is damaged" if file.testzip() else None
    except Exception:  # A damaged zip raises many types.
        return "is damaged"


def is_best(position: Position) -> bool:
    """Return whether the state at this position is that of the best epoch."""
    best = max(position.history, key=rank, default={"epoch": 0})["epoch"]
    return position.batch == 0 and position.epoch == best


@dataclass(frozen=True)
class FormerRun:
    """A run that a new one will replace once that has something to put in its place.

    Args:
        folder: of its output.
        logs: its files for TensorBoard and its pictures, with the time of each: what
            the new run has written in their place stays.
    """

    folder: Path
    logs: tuple[tuple[Path, int], ...]

    def give_way(self) -> None:
        """Remove what the run and its exports left, and put the new checkpoint there.

        The model goes first: where it is missing beside a new checkpoint, a process has
        died in here, and `go_on_exchanging` does the rest.
        """
        derived = derived_files(self.folder)
        for name in (*OWN_FILES, *derived, CHECKPOINT_FOLDER, BEST_FOLDER):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
        for path, time in self.logs:
            if path.exists() and path.stat().st_mtime_ns == time:
                path.unlink()
        pictures = self.folder / PICTURE_FOLDER
        if pictures.is_dir() and not any(pictures.iterdir()):
            pictures.rmdir()
        os.replace(self.folder / NEW_CHECKPOINT_FOLDER, self.folder / CHECKPOINT_FOLDER)


def derived_files(folder: Path) -> list[str]:
    """Return the names of what was made of the model in a folder, and lies beside it.

    That is its card, and what `keras-vit export` writes of it by default, in each
    format and precision, with the reports. All is of no use once it is replaced.
    """
    precisions = ("", *(f"_{name}" for name in QUANTIZATIONS))
    files = [f"model{precision}{end}" for precision in precisions for end in _EXPORTED]
    reports = [f"{name}.report.{end}" for name in files for end in ("json", "md")]
    names = ["README.md", *files, *reports]
    return [name for name in names if (folder / name).exists()]


def former_run(folder: Path | None) -> FormerRun | None:
    """Return the run in a folder, None if there is none."""
    if folder is None or not _is_run(folder):
        return None
    folders = (folder / LOG_FOLDER, folder / PICTURE_FOLDER)
    logs = (path for one in folders for path in one.rglob("*") if path.is_file())
    return FormerRun(folder, tuple((path, path.stat().st_mtime_ns) for path in logs))


def go_on_exchanging(folder: Path) -> None:
    """Do the rest where a process died while a new run took the place of another."""
    if _is_exchanging(folder):
        FormerRun(folder, ()).give_way()


def _is_exchanging(folder: Path) -> bool:
    has_model = (folder / MODEL_FILE).exists()
    return has_checkpoint(folder / NEW_CHECKPOINT_FOLDER) and not has_model


def is_stopped(folder: Path) -> bool:
    """Tell whether a folder holds a run that was stopped before its end."""
    if _is_exchanging(folder):
        return True
    is_complete = (folder / RESULT_FILE).is_file()
    return has_checkpoint(folder / CHECKPOINT_FOLDER) and not is_complete


def _is_run(folder: Path) -> bool:
    names = (MODEL_FILE, HISTORY_FILE, RESULT_FILE, CHECKPOINT_FOLDER)
    return any((folder / name).exists() for name in names)


def finish(folder: Path, result: TrainingResult, facts: Facts, data: str) -> None:
    """Write curves and result of a complete run and remove its checkpoint.

    Args:
        folder: of the output.
        result: of the run.
        facts: what the run was made of.
        data: name of the data, for people.
    """
    try:
        plot_history(folder / CURVES_FILE, result.history)
    except ImportError:
        pass  # The picture is an extra; the numbers are in history.csv.
    report = {
        "best_epoch": result.best_epoch,
        "best": result.best,
        "seconds": round(result.seconds, 1),
        "keras": keras.__version__,
        "data": data,
        "facts": facts,
        "history": result.history,
    }
    with replacing(folder / RESULT_FILE) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder / CHECKPOINT_FOLDER, ignore_errors=True)


def _read_result(folder: Path, model: keras.Model, facts: Facts) -> TrainingResult:
    report = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    if report["facts"] != facts:
        different = differing_keys(facts, report["facts"])
        raise ValueError(
            f"The run in {str(folder)!r} is complete and of another configuration "
            f"(different: {', '.join(different)}). Use another output, or replace it "
            "with overwrite=True (--overwrite)."
        )
    problem = best_model_problem(folder)
    if problem:
        raise ValueError(
            f"The run in {str(folder)!r} is complete, but {MODEL_FILE} {problem}. Put "
            "the file back, or start again with overwrite=True (--overwrite)."
        )
    stored: Any = load_keras(folder / MODEL_FILE)
    write_weights(stored, model)
    if getattr(stored, "thresholds", None) is not None:
        setattr(model, "thresholds", stored.thresholds)  # noqa: B010
    history, best = report["history"], report["best_epoch"]
    write_history(folder / HISTORY_FILE, history)  # It may have been lost or changed.
    return TrainingResult(history=history, best_epoch=best, seconds=0.0, output=folder)
