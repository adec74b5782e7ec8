"""Train a classifier with `model.fit`: from data and recipe to files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_vit.data.batches import ImageBatches
from keras_vit.data.checks import check_count
from keras_vit.data.image_data import ImageData
from keras_vit.data.trained_pictures import trained_pictures
from keras_vit.distribution import current
from keras_vit.keras_file import save_keras
from keras_vit.model_preprocessing import preprocessing_of
from keras_vit.preprocessing import Preprocessing
from keras_vit.training.callbacks import GivenCallbacks, check_callbacks
from keras_vit.training.checkpoint import (
    Facts,
    Position,
    has_checkpoint,
    read_header,
)
from keras_vit.training.distillation import check_teacher, fingerprint
from keras_vit.training.ema import AveragedWeights
from keras_vit.training.interruption import Interruption
from keras_vit.training.keeper import Keeper
from keras_vit.training.memory import MemoryPlan, check_copy, memory_plan
from keras_vit.training.progress import (
    EpochLines,
    Progress,
    check_tensorboard,
    is_watched,
    own_line,
    start_summary,
)
from keras_vit.training.recipe import Recipe
from keras_vit.training.recipe_checks import check_trainable_outputs
from keras_vit.training.run_folder import (
    CHECKPOINT_FOLDER,
    LOG_FOLDER,
    MODEL_FILE,
    TrainingResult,
    finish,
    former_run,
    go_on_exchanging,
    open_output,
)
from keras_vit.training.run_lock import locked
from keras_vit.training.run_time import run_seconds
from keras_vit.training.step import TrainingModel
from keras_vit.training.thresholds import (
    choose_thresholds,
    kept_thresholds,
    prepare_thresholds,
)

__all__ = ["TrainingResult", "train"]


def train(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    teacher: keras.Model | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    output: str | Path | None = None,
    resume: bool | None = None,
    overwrite: bool = False,
    keep: int = 1,
    checkpoint_seconds: float = 600.0,
    tensorboard: bool = False,
    verbose: str | int = "auto",
) -> TrainingResult:
    """Train a classifier by a recipe and leave the weights of its best epoch in it.

    What is trained is a copy with the rates, dtype, frozen layers and LoRA factors of
    the recipe. After each epoch that is the best so far, `model` gets its weights, with
    the factors added to the kernels; else it stays as it is.

    The best epoch is the one with the highest accuracy on `data.validation`, the lower
    loss deciding between equals; without a validation part it is the last one. With
    `ema_decay`, the averaged weights are what is evaluated and kept. A model without
    `preprocessing` gets that of the model with which it begins, else the default one,
    and the class names come from the data. Both are in `model.keras`.

    Images with several labels need a loss that asks one question per class. The best
    epoch is then that of the lowest loss on `data.validation`, and at the end each
    class gets the threshold with the highest F1 there, `model.thresholds`; on several
    devices, and without a validation part, they stay as they are, 0.5 in a new model.

    With `output`, the folder holds `model.keras` (the best model so far, without the
    optimizer), `history.csv`, `curves.png` (if matplotlib is there), `training.json`
    and, until the run is complete, `checkpoint/`. Each file appears only when it is
    complete, and a former run goes when there is a checkpoint of the new one. Two runs
    never share a folder. A stopped run goes on at the step of its last checkpoint, bit
    for bit, if the same is called again, with the same pictures wherever they are;
    SIGTERM writes one and ends with exit code 75.

    Before the first step the memory that the run needs is estimated, and how long it
    will take. A batch that does not fit into what is free is cut into micro-batches,
    with the result of the whole one; a run that goes on keeps those it began with.

    On several devices call it, and make the model, inside `keras_vit.distribute`; the
    output folder is then on a disk that all processes share.

    Args:
        model: functional classifier with one output per class of `data`.
        data: from `load_data`.
        recipe: how to train. Default `Recipe()`, for images with several labels with
            the loss "binary_cross_entropy".
        teacher: Keras classifier of the same images, exactly with
            `recipe.distillation`. Default None.
        callbacks: of Keras, of an experiment tracker or your own, called as `fit` calls
            them, once over the whole run; their `model` is the `TrainingModel` that
            trains. One that sets `model.stop_training` ends the run. Numbers and texts
            among their attributes are part of a checkpoint. Default (): none.
        output: folder for the files. Default None: nothing is written.
        resume: whether to take up the run in `output` if there is one; a complete one
            is left as it is. Default None: a stopped run is taken up, a complete one is
            an error.
        overwrite: whether files of an earlier run in `output` are replaced.
            Default False.
        keep: how many of the best epochs have their model in `output/best`, for
            `keras_vit.average`, at least 1. Default 1: the best alone, `model.keras`.
        checkpoint_seconds: time after which a checkpoint is written within an epoch,
            beside that at its end. Default 600.
        tensorboard: whether to write logs for TensorBoard to `output/tensorboard`;
            needs the extra `tensorboard`. Default False.
        verbose: as in `keras.Model.fit`. Default "auto": a progress bar where somebody
            watches, in a terminal or a notebook, else a line for each epoch.

    Returns:
        A `TrainingResult`: a row of numbers for each epoch, and which was the best.

    Raises:
        FileExistsError: if `output` exists and is not to be taken up or overwritten.
        ImportError: if TensorBoard is asked for and not installed.
        OSError: if the disk is full or `output` cannot be written.
        TypeError: if model, data, recipe, teacher or a callback is something else.
        TrainingInterrupted: a SystemExit, if SIGTERM comes; the state is saved.
        ValueError: if model, data, recipe and devices do not fit, not even one image
            at a time fits into the free memory, the checkpoint is of another
            configuration, or the loss is not a number.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        model = keras_vit.load("saved_models/photos")
        recipe = keras_vit.Recipe(epochs=2, warmup_epochs=1, learning_rate=1e-4)
        result = keras_vit.train(model, data, recipe, output="trained", verbose=0)
        sorted(result.best)  # ['accuracy', 'epoch', 'loss', 'val_accuracy', 'val_loss']
        print(keras_vit.evaluate("trained", data).text())
        # accuracy ..., loss ..., calibration error ... on 4 validation images
        ```
    """
    recipe = _default_recipe(data) if recipe is None else recipe
    _check_types(data, recipe)
    given = check_callbacks(callbacks)
    check_count("keep", keep, 1)
    if keep > 1 and output is None:
        raise ValueError(
            f"The best epochs are kept in the output folder, received keep={keep} and "
            "output=None. Pass output."
        )
    devices = current()
    _check(recipe, data, teacher)  # First, so that what is refused changes no model.
    _prepare_model(model, data)
    _check_devices(model, recipe, data)
    facts = _facts(model, data, recipe, teacher)
    devices.check_same(facts, "configuration")
    folder = None if output is None else Path(output).expanduser()
    if tensorboard:
        check_tensorboard(folder)
    with locked(folder if devices.is_main else None):
        if folder is not None:
            if devices.is_main:
                go_on_exchanging(folder)
            devices.barrier()  # Each then sees the same.
            finished = open_output(folder, model, facts, resume, overwrite)
            # A folder that is not the same for all would hold one step here, another
            # there.
            complete = {"complete": finished is not None}
            devices.check_same(complete, "run, on a disk that they share")
            if finished is not None:
                return finished
        former = former_run(folder) if folder and overwrite and not resume else None
        keras.utils.set_random_seed(recipe.seed)
        continued = None if former else folder
        is_new = continued is None or not has_checkpoint(continued / CHECKPOINT_FOLDER)
        if is_new and devices.kind != "model_parallel":
            check_copy(model)
        trained = recipe.training_copy(model, teacher)
        steps = len(_train_batches(model, data, recipe, None))
        plan = _plan(trained, data, recipe, steps, continued)
        recipe.compile(trained, steps, is_multi_label=data.is_multi_label)
        trained.accumulation_steps = plan.accumulation_steps
        _build(trained, data.is_multi_label)
        _keep_weights_at_end(trained)
        devices.start(trained)
        is_shown = bool(verbose) and devices.is_main
        if is_shown:
            seconds = None
            if devices.num_replicas == 1:
                seconds = run_seconds(trained, recipe, *_numbers_of_images(data))
            words = devices.describe(), plan.text(recipe), seconds
            print(start_summary(data, trained, recipe, *words), flush=True)
        # Without a folder there is nothing to save, and SIGTERM ends the run at once.
        with Interruption(folder is not None) as interruption:
            keeper = Keeper(
                model,
                folder,
                facts,
                recipe.epochs,
                interruption=interruption,
                devices=devices,
                pictures=trained_pictures(data),
                former=former,
                is_averaged=recipe.ema_decay is not None,
                keep=keep,
                patience=recipe.patience,
                checkpoint_seconds=checkpoint_seconds,
            )
            devices.barrier()  # Each has looked before one writes.
            seconds = _fit(
                trained, model, data, recipe, keeper, given, plan, tensorboard, verbose
            )
        if data.is_multi_label:
            _choose_thresholds(model, data, plan, folder, is_shown)
        result = TrainingResult(
            history=keeper.history,
            best_epoch=keeper.best_epoch,
            seconds=seconds,
            output=folder,
            images_at_once=plan.images_at_once,
        )
        if folder is not None:
            with devices.writing() as is_writer:
                if is_writer:
                    finish(folder, result, facts, data.name)
        return result


def _fit(
    trained: TrainingModel,
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    keeper: Keeper,
    given: Sequence[keras.callbacks.Callback],
    plan: MemoryPlan,
    tensorboard: bool,
    verbose: str | int,
) -> float:
    """Train from where the run stands to its end; return the seconds it took."""
    devices, folder = keeper.devices, keeper.folder
    is_new = folder is None or keeper.former is not None
    if folder is not None and not is_new and has_checkpoint(folder / CHECKPOINT_FOLDER):
        keeper.resume(trained, folder)
    devices.check_same(asdict(keeper.position), "checkpoint, on a disk that they share")
    batch_size = min(recipe.batch_size, len(data.train))
    steps = len(_train_batches(model, data, recipe, None))
    is_shown = bool(verbose) and devices.is_main
    progress = Progress(batch_size, recipe.epochs * steps, is_shown)
    # Speed is shown and logged, but no part of the history, which repeats exactly.
    callbacks: list[Any] = [keeper, keeper.loss_watch, progress]
    if given:
        # Before the keeper, which writes what they know into its checkpoint.
        position = keeper.position
        keeper.given = GivenCallbacks(
            given, recipe.epochs, position.callbacks, position.batch
        )
        callbacks.insert(0, keeper.given)
    if recipe.ema_decay is not None:
        callbacks.insert(0, AveragedWeights())
    if tensorboard and devices.is_main:
        logs = str(folder and folder / LOG_FOLDER)
        callbacks.append(keras.callbacks.TensorBoard(logs))
    if is_shown and verbose == "auto":
        verbose = int(is_watched())
        if not verbose:
            callbacks.append(EpochLines(recipe.epochs))
    started = time.perf_counter()
    for phase in _phases(model, data, recipe, keeper.position, plan.workers):
        if keeper.is_over:
            break
        keeper.batches = phase.source
        # These measure themselves; a stream without its first ones does not.
        progress.batches = phase.source
        with own_line(is_shown and bool(verbose)):
            trained.fit(
                devices.prepare(phase.batches),
                validation_data=_validation(model, data, recipe, plan),
                initial_epoch=phase.first,
                epochs=phase.last,
                callbacks=callbacks,
                shuffle=False,  # The batches are, in an order that a restart repeats.
                verbose=verbose if devices.is_main else 0,  # pyright: ignore[reportArgumentType]
            )
    if keeper.given is not None:
        keeper.given.end()
    if keeper.is_over and is_shown:
        print(f"ended  {_why_over(keeper, recipe)}", flush=True)
    return time.perf_counter() - started


def _choose_thresholds(
    model: keras.Model,
    data: ImageData,
    plan: MemoryPlan,
    folder: Path | None,
    is_shown: bool,
) -> None:
    """Give the best model, and its file, the thresholds of its classes."""
    said = kept_thresholds(model)
    if current().num_replicas == 1:
        said = choose_thresholds(model, data, plan.images_at_once)
        if folder is not None:
            save_keras(model, folder / MODEL_FILE)
    if is_shown:
        print(f"yes    from {said}", flush=True)


def _plan(
    trained: TrainingModel,
    data: ImageData,
    recipe: Recipe,
    steps: int,
    folder: Path | None,
) -> MemoryPlan:
    """Choose micro-batches that fit; a run that goes on keeps those that it has."""
    devices, stored = current(), None
    if folder is not None and has_checkpoint(folder / CHECKPOINT_FOLDER):
        position = read_header(folder / CHECKPOINT_FOLDER)["position"]
        stored = position.get("accumulation_steps") or recipe.accumulation_steps
    how: dict[str, Any] = {
        "batch_size": min(recipe.batch_size, len(data.train)) // devices.num_processes,
        "batches_per_epoch": steps,
        "has_validation": data.validation is not None,
        "replicas": devices.num_replicas // devices.num_processes,
        "stored": stored,
        # There, each device has a part of the weights.
        "refuses": devices.kind != "model_parallel",
    }
    plan = memory_plan(trained, recipe, **how)
    most = max(map(int, devices.exchange(str(plan.accumulation_steps))))
    if most == plan.accumulation_steps:
        return plan
    return memory_plan(trained, recipe, **{**how, "stored": most})


def _numbers_of_images(data: ImageData) -> tuple[int, int]:
    return len(data.train), 0 if data.validation is None else len(data.validation)


def _why_over(keeper: Keeper, recipe: Recipe) -> str:
    last, best = len(keeper.history), keeper.best_epoch
    if recipe.patience is not None and last - best >= recipe.patience:
        return f"after epoch {last}: none was better since epoch {best}"
    return f"after epoch {last}, by a callback"


def _default_recipe(data: Any) -> Recipe:
    if getattr(data, "is_multi_label", False):
        return Recipe(loss_name="binary_cross_entropy")
    return Recipe()


def _check_types(data: Any, recipe: Any) -> None:
    if not isinstance(data, ImageData):
        raise TypeError(
            "train takes what keras_vit.load_data returns, received data of type "
            f"{type(data).__name__}. Call load_data with a folder, arrays or a data "
            "set. For batches of your own: trained = recipe.training_copy(model); "
            "recipe.compile(trained, steps_per_epoch); trained.fit(batches); "
            "trained.model has the weights."
        )
    if not isinstance(recipe, Recipe):
        raise TypeError(
            f"recipe must be a keras_vit.Recipe, received recipe={recipe!r}. Take one "
            "of keras_vit.RECIPES by its name, or build one with Recipe(...)."
        )


def _prepare_model(model: keras.Model, data: ImageData) -> None:
    if data.num_classes < 2 and not data.is_multi_label:
        raise ValueError(
            "Training needs images of at least two classes, received "
            f"{list(data.class_names)} in {data.name!r}. Put the images of each class "
            "in a sub-folder of its own."
        )
    if not getattr(model, "outputs", None):
        raise TypeError(
            "train takes a functional keras.Model, received "
            f"{type(model).__name__}. Make one with keras.Model(inputs, model(inputs))."
        )
    check_trainable_outputs(model)
    shape = tuple(model.output_shape)
    if len(shape) != 2 or shape[-1] != data.num_classes:
        raise ValueError(
            "The model must have one output per class of the data, received output "
            f"shape {shape} for {data.num_classes} classes in {data.name!r}. Build it "
            f"with num_classes={data.num_classes}."
        )
    if getattr(model, "preprocessing", None) is None:
        model.preprocessing = preprocessing_of(model)
    if model.preprocessing is None:
        height, width, channels = model.input_shape[1:]
        if height is None:
            raise ValueError(
                "A model for images of any size needs preprocessing that says the size "
                "to train with, received none. Set model.preprocessing = keras_vit."
                "Preprocessing(image_size=(224, 224))."
            )
        size = (height, width)
        model.preprocessing = Preprocessing(image_size=size, channels=channels)
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
    prepare_thresholds(model, data)
    # Fails now, not in the first epoch, if the pictures do not suit the model.
    model.preprocessing.to_values(data.train.samples(1)[0])


def _build(model: keras.Model, is_multi_label: bool) -> None:
    """Build what `fit` would build from its first batch.

    Keras 3.15 takes that batch in a pass of its own. `ImageBatches` begin anew after it
    unless no more than it were left, as at the end of a run that is taken up.
    """
    labels = keras.ops.zeros((1,), dtype="int32")
    if is_multi_label:
        labels = keras.ops.zeros((1, model.output_shape[-1]), dtype="float32")
    outputs = keras.ops.ones((1, model.output_shape[-1])) / model.output_shape[-1]
    model.compute_loss(y=labels, y_pred=outputs)
    model.compute_metrics(None, labels, outputs)
    model.reset_metrics()
    model.optimizer.build(model.trainable_variables)


def _keep_weights_at_end(trained: keras.Model) -> None:
    # Keras puts the averaged weights into the model at the end of each `fit`, and a run
    # may be several.
    optimizer: Any = trained.optimizer
    getattr(optimizer, "inner_optimizer", optimizer).averages_at_end = False


def _check(recipe: Recipe, data: ImageData, teacher: Any) -> None:
    """Refuse what cannot work together, before any work."""
    if data.is_multi_label and recipe.loss_name == "cross_entropy":
        raise ValueError(
            f"Images of {data.name!r} have several labels, and cross-entropy chooses "
            "one. Use loss_name='binary_cross_entropy' (--set loss_name=...)."
        )
    check_teacher(teacher)
    if data.is_multi_label and recipe.distillation is not None:
        raise ValueError(
            f"Images of {data.name!r} have several labels, and a teacher's softmax "
            f"chooses one, received distillation={recipe.distillation!r}. Leave it and "
            "the teacher (--teacher) out."
        )
    if (teacher is None) != (recipe.distillation is None):
        raise ValueError(
            "A teacher and the distillation of the recipe go together, received "
            f"teacher={'None' if teacher is None else teacher.name!r}, distillation="
            f"{recipe.distillation!r}. Pass both or none."
        )
    if recipe.patience is not None and data.validation is None:
        raise ValueError(
            "patience looks at the validation part, received patience="
            f"{recipe.patience} and data without one. Hold one out with "
            "load_data(..., validation_fraction=0.2) (--validation-fraction 0.2), or "
            "leave patience out."
        )


def _check_devices(model: keras.Model, recipe: Recipe, data: ImageData) -> None:
    """Refuse what the devices cannot do."""
    devices = current()
    batch_size = min(recipe.batch_size, len(data.train))
    devices.check_weights(model)
    # A device alone fills micro-batches up, where the set is smaller than a batch.
    steps = recipe.accumulation_steps if devices.num_replicas > 1 else 1
    devices.check_batch_size(batch_size, steps, num_images=len(data.train))


def _facts(
    model: keras.Model, data: ImageData, recipe: Recipe, teacher: keras.Model | None
) -> Facts:
    """Return what has to be the same when a run is taken up, as JSON values."""
    devices = current()
    config = model.get_config()
    beside = ("name", "class_names", "thresholds")
    config = {k: v for k, v in config.items() if k not in beside}
    facts: Facts = {
        "backend": keras.backend.backend(),
        "data": _summary(data),
        "classes": list(data.class_names),
        "model": config,
        "recipe": asdict(recipe),
        "replicas": devices.num_parallel_steps,
        "teacher": None if teacher is None else fingerprint(teacher, devices),
    }
    for group in ("data", "model", "recipe"):
        options = facts.pop(group)
        facts |= {f"{group}.{key}": value for key, value in options.items()}
    return json.loads(json.dumps(facts))


def _summary(data: ImageData) -> dict[str, Any]:
    """Return what data is, not what it is called nor how it was divided.

    A run goes on when its pictures are the same, wherever they are.
    """
    about = data.summary()
    named = ("name", "split") if trained_pictures(data).parts else ()
    return {key: value for key, value in about.items() if key not in named}


class _Phase(NamedTuple):
    """What one `fit` is given: where `epoch` is set, batches, first and last epoch."""

    source: Any
    batches: Any
    first: int
    last: int


def _phases(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    position: Position,
    workers: int | None,
) -> Iterator[_Phase]:
    """Yield what each `fit` of a run is given.

    There is one, or one per image size; and one for the rest of an epoch in which an
    earlier run stopped.
    """
    starts: list[tuple[int, int | None]] = [*recipe.image_sizes] or [(0, None)]
    if starts[0][0] > 0:
        starts.insert(0, (0, None))
    ends = [first for first, _ in starts[1:]] + [recipe.epochs]
    for (begin, size), end in zip(starts, ends, strict=True):
        first, last = max(begin, position.epoch), min(end, recipe.epochs)
        if first >= last:
            continue
        batches = _train_batches(model, data, recipe, size, workers)
        if position.batch and first == position.epoch:
            yield _Phase(batches, _from(batches, position.batch), first, first + 1)
            first += 1
        if first < last:
            yield _Phase(batches, _from(batches, 0), first, last)


def _from(batches: Any, start: int) -> Any:
    """Return batches without the first ones of the epoch."""
    if isinstance(batches, ImageBatches):
        batches.start_batch = start
        return batches
    return batches.skip(start) if start else batches


def _train_batches(
    model: Any,
    data: ImageData,
    recipe: Recipe,
    size: int | None,
    workers: int | None = None,
) -> Any:
    devices, preprocessing = current(), model.preprocessing
    if size is not None:
        preprocessing = replace(preprocessing, image_size=(size, size))
    return data.train.batches(
        preprocessing,
        recipe.batch_size,
        training=True,
        augmentation=recipe.augmentation,
        mixing=recipe.mixing,
        repeated_augmentation=recipe.repeated_augmentation,
        class_balance=recipe.class_balance,
        seed=recipe.seed,
        workers=workers,
        shard=(devices.process_id, devices.num_processes),
    )


def _validation(model: Any, data: ImageData, recipe: Recipe, plan: MemoryPlan) -> Any:
    if data.validation is None:
        return None
    devices = current()
    batch_size = recipe.batch_size
    if plan.accumulation_steps > recipe.accumulation_steps:
        batch_size = plan.images_at_once * devices.num_processes
    batches = data.validation.batches(
        model.preprocessing,
        batch_size,
        workers=plan.workers,
        shard=(devices.process_id, devices.num_processes),
        # Devices share whole batches; what fills the last one up counts nothing.
        pad=devices.num_replicas > 1,
    )
    return devices.prepare(batches)
