"""Train a classifier with `model.fit`.

Keep the best model, and take up a stopped run.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import keras

from keras_vit.data.image_data import ImageData
from keras_vit.files import check_writable, replacing
from keras_vit.keras_file import save_model
from keras_vit.preprocessing import Preprocessing
from keras_vit.training.checkpoint import load_checkpoint, read_header, save_checkpoint
from keras_vit.training.history import (
    History,
    plot_history,
    read_history,
    write_history,
)
from keras_vit.training.recipe import Recipe

MODEL_FILE = "model.keras"
HISTORY_FILE = "history.csv"
CURVES_FILE = "curves.png"
RESULT_FILE = "training.json"
CHECKPOINT_FOLDER = "checkpoint"
# What other parts write beside the model by default: of no use once it is replaced.
DERIVED_FILES = ("README.md", "model.tflite", "model_saved_model")


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


def train(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: str | int = "auto",
) -> TrainingResult:
    """Train a classifier by a recipe and leave the weights of its best epoch in it.

    The best epoch is the one with the highest accuracy on `data.validation`, the lower
    loss deciding between equals; without a validation part it is the last one. A model
    without `preprocessing` gets the default one, and the class names come from the
    data.

    With `output`, the folder holds `model.keras` (the best model so far, without the
    optimizer), `history.csv`, `curves.png` (if matplotlib is there), `training.json`
    and, until the run is complete, `checkpoint/`. Each file appears only when it is
    complete. A stopped run goes on at its last finished epoch with `resume=True`.

    Args:
        model: classifier with one output per class of `data`.
        data: from `load_data`.
        recipe: how to train. Default `Recipe()`.
        output: folder for the files. Default None: nothing is written.
        resume: whether to take up the run in `output` if there is one; a complete one
            is left as it is. Default False.
        overwrite: whether files of an earlier run in `output` are replaced.
            Default False.
        verbose: as in `keras.Model.fit`. Default "auto": a progress bar.

    Raises:
        FileExistsError: if `output` exists and neither `resume` nor `overwrite` is set.
        OSError: if the disk is full or `output` cannot be written.
        ValueError: if model and data do not fit, the checkpoint is of another
            configuration, or the loss is not a number.
    """
    recipe = recipe or Recipe()
    _prepare_model(model, data)
    facts = _facts(model, data, recipe)
    folder = None if output is None else Path(output).expanduser()
    if folder is not None:
        finished = _open_output(folder, model, facts, resume, overwrite)
        if finished is not None:
            return finished

    batches = _batches(model, data, recipe)
    keras.utils.set_random_seed(recipe.seed)
    recipe.compile(model, len(batches["train"]))
    _build(model)
    keeper = _Keeper(folder, facts, batches["train"], recipe.epochs)
    if folder is not None and (folder / CHECKPOINT_FOLDER).is_dir():
        keeper.resume(model, folder)
    started = time.perf_counter()
    model.fit(
        batches["train"],
        validation_data=batches.get("validation"),
        epochs=recipe.epochs,
        initial_epoch=len(keeper.history),
        callbacks=[keeper],
        shuffle=False,  # The batches are, in an order that a restart repeats.
        verbose=verbose,  # pyright: ignore[reportArgumentType]
    )
    result = TrainingResult(
        history=keeper.history,
        best_epoch=keeper.best_epoch,
        seconds=time.perf_counter() - started,
        output=folder,
    )
    keeper.restore_best(model)
    if folder is not None:
        _finish(folder, result, facts)
    return result


class _Keeper(keras.callbacks.Callback):
    """Keep the best weights, the history and, with a folder, the files."""

    def __init__(
        self, folder: Path | None, facts: dict[str, Any], batches: Any, epochs: int
    ) -> None:
        super().__init__()
        self.folder = folder
        self.facts = facts
        self.batches = batches
        self.epochs = epochs
        self.history: History = []
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def resume(self, model: keras.Model, folder: Path) -> None:
        checkpoint = folder / CHECKPOINT_FOLDER
        epoch = load_checkpoint(checkpoint, model, facts=self.facts)
        rows = read_history(folder / HISTORY_FILE)
        self.history = rows[:epoch]
        self.best_epoch = int(max(self.history, key=_rank)["epoch"])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Order and augmentation follow from the epoch, also after a restart.
        self.batches.epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in (logs or {}).items()}}
        if not math.isfinite(row["loss"]):
            raise ValueError(
                f"The loss is {row['loss']} in epoch {epoch + 1}. The last good epoch "
                "is kept. Use a lower learning_rate, a longer warm-up or a smaller "
                "gradient_clip_norm."
            )
        self.history.append(row)
        is_best = max(self.history, key=_rank) is row
        if is_best:
            self.best_epoch = epoch + 1
        model = cast(keras.Model, self.model)
        if self.folder is None:
            if is_best:
                self.best_weights = model.get_weights()
            return
        # Best model and history first: a checkpoint must never be ahead of them.
        if is_best:
            save_model(model, self.folder / MODEL_FILE)
        write_history(self.folder / HISTORY_FILE, self.history)
        if epoch + 1 < self.epochs:
            save_checkpoint(
                self.folder / CHECKPOINT_FOLDER,
                model,
                epoch=epoch + 1,
                facts=self.facts,
            )

    def restore_best(self, model: keras.Model) -> None:
        if self.best_epoch == len(self.history):
            return
        if self.folder is None:
            model.set_weights(self.best_weights)
        else:
            best: Any = keras.models.load_model(self.folder / MODEL_FILE, compile=False)
            model.set_weights(best.get_weights())


def _rank(row: dict[str, float]) -> tuple[float, ...]:
    if "val_accuracy" not in row:
        return (row["epoch"],)
    # The later epoch wins a tie in both.
    return (row["val_accuracy"], -row["val_loss"], row["epoch"])


def _prepare_model(model: keras.Model, data: ImageData) -> None:
    shape = tuple(model.output_shape)
    if len(shape) != 2 or shape[-1] != data.num_classes:
        raise ValueError(
            "The model must have one output per class of the data, received output "
            f"shape {shape} for {data.num_classes} classes in {data.name!r}. Build it "
            f"with num_classes={data.num_classes}."
        )
    if getattr(model, "preprocessing", None) is None:
        height, width, channels = model.input_shape[1:]
        preprocessing = Preprocessing(image_size=(height, width), channels=channels)
        model.preprocessing = preprocessing
    own = getattr(model, "class_names", None)
    numbers = tuple(str(i) for i in range(data.num_classes))
    if own is None or data.class_names != numbers:
        if own not in (None, data.class_names, numbers):
            raise ValueError(
                "Model and data must have the same classes in the same order, received "
                f"{list(own)[:5]} and {list(data.class_names)[:5]}. Set "
                "model.class_names = None to take those of the data."
            )
        model.class_names = data.class_names
    # Fails now, not in the first epoch, if the pictures do not suit the model.
    model.preprocessing(data.train.samples(1)[0])


def _build(model: keras.Model) -> None:
    """Build what `fit` would build from its first batch.

    Keras 3.15 on JAX and torch takes that batch, and those prepared behind it, from the
    data set's threads and gives them again, so that the first epoch would depend on
    timing.
    """
    labels = keras.ops.zeros((1,), dtype="int32")
    outputs = keras.ops.ones((1, model.output_shape[-1])) / model.output_shape[-1]
    model.compute_loss(y=labels, y_pred=outputs)
    model.compute_metrics(None, labels, outputs)
    model.reset_metrics()
    model.optimizer.build(model.trainable_variables)


def _facts(model: keras.Model, data: ImageData, recipe: Recipe) -> dict[str, Any]:
    """Return what has to be the same when a run is taken up, as JSON values."""
    config = model.get_config()
    config = {k: v for k, v in config.items() if k not in ("name", "class_names")}
    facts = {
        "backend": keras.backend.backend(),
        "data": data.summary(),
        "classes": list(data.class_names),
        "model": config,
        "recipe": asdict(recipe),
    }
    flat = {
        f"{group}.{key}": value
        for group in ("data", "model", "recipe")
        for key, value in facts.pop(group).items()
    }
    return json.loads(json.dumps({**facts, **flat}))


def _batches(model: keras.Model, data: ImageData, recipe: Recipe) -> dict[str, Any]:
    preprocessing = model.preprocessing
    batches = {
        "train": data.train.batches(
            preprocessing,
            recipe.batch_size,
            training=True,
            augmentation=recipe.augmentation,
            seed=recipe.seed,
        )
    }
    if data.validation is not None:
        batches["validation"] = data.validation.batches(
            preprocessing, recipe.batch_size
        )
    return batches


def _open_output(
    folder: Path,
    model: keras.Model,
    facts: dict[str, Any],
    resume: bool,
    overwrite: bool,
) -> TrainingResult | None:
    """Check the output folder before any work; return the result of a complete run."""
    in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
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
        if (folder / CHECKPOINT_FOLDER).is_dir():
            read_header(folder / CHECKPOINT_FOLDER)
    if in_use and overwrite and not resume and not _is_run(folder):
        raise FileExistsError(
            f"{str(folder)!r} holds something else than a training run, and is never "
            "overwritten. Choose another output."
        )
    # Weights, two optimizer slots and the best model, twice while they are replaced.
    check_writable(folder, required_bytes=2 * 4 * 4 * model.count_params())
    if in_use and overwrite and not resume:
        for name in (
            *(CHECKPOINT_FOLDER, RESULT_FILE, HISTORY_FILE, CURVES_FILE),
            *DERIVED_FILES,
        ):
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
    return None


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


def _finish(folder: Path, result: TrainingResult, facts: dict[str, Any]) -> None:
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
