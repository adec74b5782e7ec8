"""Train a classifier with `model.fit`: from data and recipe to files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import keras

from keras_vit.data.image_data import ImageData
from keras_vit.distribution import Distribution, current
from keras_vit.distribution.keras_hooks import check_no_engine_by_hand
from keras_vit.keras_file import save_model
from keras_vit.keras_internals import all_layers
from keras_vit.preprocessing import Preprocessing
from keras_vit.training.checkpoint import Position, has_checkpoint
from keras_vit.training.distillation import check_teacher, fingerprint
from keras_vit.training.ema import AveragedWeights
from keras_vit.training.interruption import Interruption
from keras_vit.training.keeper import Keeper
from keras_vit.training.lora import has_lora, merge_lora
from keras_vit.training.progress import (
    MeasuredBatches,
    Progress,
    check_tensorboard,
    start_summary,
)
from keras_vit.training.recipe import Recipe
from keras_vit.training.run_folder import (
    CHECKPOINT_FOLDER,
    LOG_FOLDER,
    MODEL_FILE,
    TrainingResult,
    finish,
    open_output,
    remove_run,
    trained_split,
)
from keras_vit.training.step import TrainingModel

__all__ = ["TrainingResult", "save_model", "train", "trained_split"]


def train(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe | None = None,
    *,
    teacher: keras.Model | None = None,
    output: str | Path | None = None,
    resume: bool | None = None,
    overwrite: bool = False,
    checkpoint_seconds: float = 600.0,
    tensorboard: bool = False,
    verbose: str | int = "auto",
) -> TrainingResult:
    """Train a classifier by a recipe and leave the weights of its best epoch in it.

    The best epoch is the one with the highest accuracy on `data.validation`, the lower
    loss deciding between equals; without a validation part it is the last one. With
    `ema_decay`, the averaged weights are what is evaluated and kept. A model without
    `preprocessing` gets the default one, and the class names come from the data.

    With `output`, the folder holds `model.keras` (the best model so far, without the
    optimizer), `history.csv`, `curves.png` (if matplotlib is there), `training.json`
    and, until the run is complete, `checkpoint/`. Each file appears only when it is
    complete. A stopped run goes on at the step of its last checkpoint, bit for bit, if
    the same is called again; SIGTERM writes one and ends with exit code 75.

    On several devices call it, and make the model, inside `keras_vit.distribute`; the
    output folder is then on a disk that all processes share.

    Args:
        model: functional classifier with one output per class of `data`.
        data: from `load_data`.
        recipe: how to train. Default `Recipe()`.
        teacher: Keras classifier of the same images, exactly with
            `recipe.distillation`. Default None.
        output: folder for the files. Default None: nothing is written.
        resume: whether to take up the run in `output` if there is one; a complete one
            is left as it is. Default None: a stopped run is taken up, a complete one is
            an error.
        overwrite: whether files of an earlier run in `output` are replaced.
            Default False.
        checkpoint_seconds: time after which a checkpoint is written within an epoch,
            beside that at its end. Default 600.
        tensorboard: whether to write logs for TensorBoard to `output/tensorboard`;
            needs the extra `tensorboard`. Default False.
        verbose: as in `keras.Model.fit`. Default "auto": a progress bar.

    Raises:
        FileExistsError: if `output` exists and is not to be taken up or overwritten.
        ImportError: if TensorBoard is asked for and not installed.
        OSError: if the disk is full or `output` cannot be written.
        TypeError: if model, data, recipe or teacher is something else.
        TrainingInterrupted: a SystemExit, if SIGTERM comes; the state is saved.
        ValueError: if model, data, recipe and devices do not fit, the checkpoint is of
            another configuration, or the loss is not a number.
    """
    recipe = Recipe() if recipe is None else recipe
    _check_types(data, recipe)
    devices = current()
    _prepare_model(model, data)
    _check(model, recipe, data, teacher, devices)
    facts = _facts(model, data, recipe, teacher, devices)
    devices.check_same(facts, "configuration")
    folder = None if output is None else Path(output).expanduser()
    if tensorboard:
        check_tensorboard(folder)
    if folder is not None:
        finished = open_output(folder, model, facts, resume, overwrite)
        # A folder that is not the same for all would hold one step here, another there.
        devices.check_same(
            {"complete": finished is not None}, "run, on a disk that they share"
        )
        if finished is not None:
            return finished

    trainable = [(layer, layer.trainable) for layer in all_layers(model)]
    keras.utils.set_random_seed(recipe.seed)
    trained = recipe.training_model(model, teacher)
    steps = len(_train_batches(model, data, recipe, devices, None))
    recipe.compile(trained, steps)
    _build(trained)
    _keep_weights_at_end(trained)
    devices.start(trained)
    if folder is not None and overwrite and not resume:
        if devices.is_main:
            remove_run(folder)
        devices.barrier()  # None takes up what another removes.
    is_shown = bool(verbose) and devices.is_main
    if is_shown:
        print(start_summary(data, model, recipe, devices.describe()))
    # Without a folder there is nothing to save, and SIGTERM ends the run at once.
    with Interruption(folder is not None) as interruption:
        keeper = Keeper(
            folder,
            facts,
            recipe.epochs,
            interruption=interruption,
            devices=devices,
            is_averaged=recipe.ema_decay is not None,
            checkpoint_seconds=checkpoint_seconds,
        )
        if folder is not None and has_checkpoint(folder / CHECKPOINT_FOLDER):
            keeper.resume(trained, folder)
        devices.check_same(
            asdict(keeper.position), "checkpoint, on a disk that they share"
        )
        batch_size = min(recipe.batch_size, len(data.train))
        progress = Progress(batch_size, recipe.epochs * steps, is_shown)
        # Speed is shown and logged, but no part of the history, which repeats exactly.
        callbacks = [keeper, keeper.loss_watch, progress]
        if recipe.ema_decay is not None:
            callbacks.insert(0, AveragedWeights())
        if tensorboard and devices.is_main:
            logs = str(folder and folder / LOG_FOLDER)
            callbacks.append(keras.callbacks.TensorBoard(logs))
        started = time.perf_counter()
        for phase in _phases(model, data, recipe, devices, keeper.position):
            keeper.batches = phase.source
            # A stream measures itself, and its rest without the first ones does not.
            is_measured = isinstance(phase.batches, MeasuredBatches)
            progress.batches = phase.batches if is_measured else phase.source
            trained.fit(
                devices.prepare(phase.batches),
                validation_data=_validation(model, data, recipe, devices),
                initial_epoch=phase.first,
                epochs=phase.last,
                callbacks=callbacks,
                shuffle=False,  # The batches are, in an order that a restart repeats.
                verbose=verbose if devices.is_main else 0,  # pyright: ignore[reportArgumentType]
            )
    result = TrainingResult(
        history=keeper.history,
        best_epoch=keeper.best_epoch,
        seconds=time.perf_counter() - started,
        output=folder,
    )
    _restore_best(trained, keeper, recipe)
    # What the recipe froze may train again, such as after a linear probe.
    for layer, value in trainable:
        layer.trainable = value
    if folder is not None:
        with devices.writing() as is_writer:
            if is_writer:
                finish(folder, result, facts)
    return result


def _check_types(data: Any, recipe: Any) -> None:
    if not isinstance(data, ImageData):
        raise TypeError(
            "train takes what keras_vit.load_data returns, received data of type "
            f"{type(data).__name__}. Call load_data with a folder, arrays or a data "
            "set. For batches of your own: trained = recipe.training_model(model); "
            "recipe.compile(trained, steps_per_epoch); trained.fit(batches)."
        )
    if not isinstance(recipe, Recipe):
        raise TypeError(
            f"recipe must be a keras_vit.Recipe, received recipe={recipe!r}. Take one "
            "of keras_vit.RECIPES by its name, or build one with Recipe(...)."
        )


def _prepare_model(model: keras.Model, data: ImageData) -> None:
    if not getattr(model, "outputs", None):
        raise TypeError(
            "train takes a functional keras.Model, received "
            f"{type(model).__name__}. Make one with keras.Model(inputs, model(inputs))."
        )
    shape = tuple(model.output_shape)
    if len(shape) != 2 or shape[-1] != data.num_classes:
        raise ValueError(
            "The model must have one output per class of the data, received output "
            f"shape {shape} for {data.num_classes} classes in {data.name!r}. Build it "
            f"with num_classes={data.num_classes}."
        )
    if getattr(model, "preprocessing", None) is None:
        height, width, channels = model.input_shape[1:]
        if height is None:
            raise ValueError(
                "A model for images of any size needs preprocessing that says the size "
                "to train with, received none. Set model.preprocessing = keras_vit."
                "Preprocessing(image_size=(224, 224))."
            )
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


def _keep_weights_at_end(trained: keras.Model) -> None:
    # Keras puts the averaged weights into the model at the end of each `fit`, and a run
    # may be several.
    optimizer: Any = trained.optimizer
    getattr(optimizer, "inner_optimizer", optimizer).averages_at_end = False


def _check(
    model: keras.Model,
    recipe: Recipe,
    data: ImageData,
    teacher: Any,
    devices: Distribution,
) -> None:
    """Refuse what cannot work, before any work."""
    check_teacher(teacher)
    if (teacher is None) != (recipe.distillation is None):
        raise ValueError(
            "A teacher and the distillation of the recipe go together, received "
            f"teacher={'None' if teacher is None else teacher.name!r}, distillation="
            f"{recipe.distillation!r}. Pass both or none."
        )
    batch_size = min(recipe.batch_size, len(data.train))
    devices.check_weights(model)
    check_no_engine_by_hand(model, devices.num_replicas)
    # A device alone fills micro-batches up, where the set is smaller than a batch.
    steps = recipe.accumulation_steps if devices.num_replicas > 1 else 1
    devices.check_batch_size(batch_size, steps, num_images=len(data.train))


def _facts(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    teacher: keras.Model | None,
    devices: Distribution,
) -> dict[str, Any]:
    """Return what has to be the same when a run is taken up, as JSON values."""
    config = model.get_config()
    config = {k: v for k, v in config.items() if k not in ("name", "class_names")}
    facts = {
        "backend": keras.backend.backend(),
        "data": data.summary(),
        "classes": list(data.class_names),
        "model": config,
        "recipe": asdict(recipe),
        "replicas": devices.num_mask_streams,
        "teacher": None if teacher is None else fingerprint(teacher, devices),
    }
    flat = {
        f"{group}.{key}": value
        for group in ("data", "model", "recipe")
        for key, value in facts.pop(group).items()
    }
    return json.loads(json.dumps({**facts, **flat}))


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
    devices: Distribution,
    position: Position,
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
        batches = _train_batches(model, data, recipe, devices, size)
        if position.batch and first == position.epoch:
            yield _Phase(batches, _from(batches, position.batch), first, first + 1)
            first += 1
        if first < last:
            yield _Phase(batches, _from(batches, 0), first, last)


def _from(batches: Any, start: int) -> Any:
    """Return batches without the first ones of the epoch, measured if they can be."""
    if isinstance(batches, keras.utils.PyDataset):
        return MeasuredBatches(batches, start)
    return batches.skip(start) if start else batches


def _train_batches(
    model: Any,
    data: ImageData,
    recipe: Recipe,
    devices: Distribution,
    size: int | None,
) -> Any:
    preprocessing = model.preprocessing
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
        shard=(devices.process_id, devices.num_processes),
    )


def _validation(
    model: Any, data: ImageData, recipe: Recipe, devices: Distribution
) -> Any:
    if data.validation is None:
        return None
    batches = data.validation.batches(
        model.preprocessing,
        recipe.batch_size,
        shard=(devices.process_id, devices.num_processes),
        # Devices share whole batches; what fills the last one up counts nothing.
        pad=devices.num_replicas > 1,
    )
    return devices.prepare(batches)


def _restore_best(trained: TrainingModel, keeper: Keeper, recipe: Recipe) -> None:
    """Leave the weights of the best epoch in the model, without LoRA's factors."""
    model = trained.model
    if keeper.folder is None:
        model.set_weights(keeper.best_weights)
    if has_lora(model):
        merge_lora(model)
    is_last = keeper.best_epoch == len(keeper.history)
    is_changed = recipe.ema_decay is not None or recipe.train_only == "lora"
    if keeper.folder is not None and (is_changed or not is_last):
        best: Any = keras.models.load_model(keeper.folder / MODEL_FILE, compile=False)
        model.set_weights(best.get_weights())
