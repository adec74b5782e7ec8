"""The output folder of a run: what may be written there, and what is in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_vit.files import check_writable, replacing
from keras_vit.training.checkpoint import has_checkpoint, read_header
from keras_vit.training.history import History, plot_history, read_history

MODEL_FILE = "model.keras"
HISTORY_FILE = "history.csv"
CURVES_FILE = "curves.png"
RESULT_FILE = "training.json"
CHECKPOINT_FOLDER = "checkpoint"
LOG_FOLDER = "tensorboard"
# What other parts write beside the model by default: of no use once it is replaced.
DERIVED_FILES = (
    *("README.md", "model.tflite", "model_saved_model", "model.onnx"),
    *("model_openvino", "model.pt2", "model.stablehlo"),
)


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came out of a training run.

    Args:
        history: one row per epoch: epoch from 1, loss, accuracy, val_loss,
            val_accuracy.
        best_epoch: the epoch whose weights the model has now, from 1.
        seconds: that this call trained.
        output: the folder with the files, or None.
    """

    history: History
    best_epoch: int
    seconds: float
    output: Path | None

    @property
    def best(self) -> dict[str, float]:
        """The row of the best epoch."""
        return next(row for row in self.history if row["epoch"] == self.best_epoch)


def open_output(
    folder: Path,
    model: keras.Model,
    facts: dict[str, Any],
    resume: bool | None,
    overwrite: bool,
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
    in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
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
        # Fails here, before the data is read, if the run was another one.
        if has_checkpoint(folder / CHECKPOINT_FOLDER):
            read_header(folder / CHECKPOINT_FOLDER)
    if in_use and overwrite and not resume and not _is_run(folder):
        raise FileExistsError(
            f"{str(folder)!r} holds something else than a training run, and is never "
            "overwritten. Choose another output."
        )
    # Weights, two optimizer slots and the best model, thrice while they are replaced.
    check_writable(folder, required_bytes=3 * 4 * 4 * model.count_params())
    return None


def remove_run(folder: Path) -> None:
    """Remove what a former run and its exports left, but for the best model.

    The first epoch of the next run replaces that.
    """
    for name in (
        *(CHECKPOINT_FOLDER, RESULT_FILE, HISTORY_FILE, CURVES_FILE, LOG_FOLDER),
        *DERIVED_FILES,
    ):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def is_stopped(folder: Path) -> bool:
    """Tell whether a folder holds a run that was stopped before its end."""
    return (
        has_checkpoint(folder / CHECKPOINT_FOLDER)
        and not (folder / RESULT_FILE).is_file()
    )


def _is_run(folder: Path) -> bool:
    names = (MODEL_FILE, HISTORY_FILE, RESULT_FILE, CHECKPOINT_FOLDER)
    return any((folder / name).exists() for name in names)


def trained_split(folder: str | Path, source: str) -> dict[str, Any]:
    """Return the arguments of `load_data` that divided the data of a finished run.

    Empty if `folder` holds no finished run on this source of data.
    """
    file = Path(folder) / RESULT_FILE
    if not file.is_file():
        return {}
    facts = json.loads(file.read_text(encoding="utf-8"))["facts"]
    same = Path(facts["data.name"]).resolve() == Path(source).resolve()
    return facts.get("data.split", {}) if same else {}


def finish(folder: Path, result: TrainingResult, facts: dict[str, Any]) -> None:
    """Write curves and result of a complete run and remove its checkpoint."""
    try:
        plot_history(folder / CURVES_FILE, result.history)
    except ImportError:
        pass  # The picture is an extra; the numbers are in history.csv.
    report = {
        "best_epoch": result.best_epoch,
        "best": result.best,
        "seconds": round(result.seconds, 1),
        "keras": keras.__version__,
        "facts": facts,
    }
    with replacing(folder / RESULT_FILE) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder / CHECKPOINT_FOLDER, ignore_errors=True)


def _read_result(
    folder: Path, model: keras.Model, facts: dict[str, Any]
) -> TrainingResult:
    report = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    if report["facts"] != facts:
        different = [
            key
            for key in sorted({*facts, *report["facts"]})
            if facts.get(key) != report["facts"].get(key)
        ]
        raise ValueError(
            f"The run in {str(folder)!r} is complete and of another configuration "
            f"(different: {', '.join(different)}). Use another output, or replace it "
            "with overwrite=True (--overwrite)."
        )
    best: Any = keras.models.load_model(folder / MODEL_FILE, compile=False)
    model.set_weights(best.get_weights())
    return TrainingResult(
        history=read_history(folder / HISTORY_FILE),
        best_epoch=report["best_epoch"],
        seconds=0.0,
        output=folder,
    )
