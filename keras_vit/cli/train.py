"""The command that trains a classifier."""

from __future__ import annotations

import json
import shlex
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

import keras

from keras_vit.adapting import adapt_to_recipe
from keras_vit.checkpoints.hub import find_source, named_architecture
from keras_vit.checkpoints.open import open_checkpoint
from keras_vit.cli.arguments import (
    Commands,
    CompactGroup,
    add_command,
    command_line,
    print_found,
)
from keras_vit.cli.data import add_source, add_split, open_data
from keras_vit.cli.train_head import HEAD, SETTINGS, run_head
from keras_vit.cli.values import size
from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.data.checks import check_count
from keras_vit.data.image_data import ImageData
from keras_vit.distribution import current, distribute
from keras_vit.explaining.picture_log import PictureLog
from keras_vit.files import check_writable
from keras_vit.heads import fit_head
from keras_vit.heads.feature_pass import has_accelerator
from keras_vit.inference.evaluate import evaluate
from keras_vit.inference.evaluation import Evaluation
from keras_vit.inspecting.before_training import before_training
from keras_vit.keras_file import load_keras
from keras_vit.loading import OWN_SIZE, build, is_own_model, load, own_size_note
from keras_vit.model import ViT
from keras_vit.surgery import changed
from keras_vit.training.card import write_card
from keras_vit.training.recipe import Recipe
from keras_vit.training.recipes import AFTER_A_HEAD, RECIPES, get_recipe
from keras_vit.training.run_folder import (
    LOG_FOLDER,
    MODEL_FILE,
    PICTURE_FOLDER,
    TrainingResult,
    is_stopped,
)
from keras_vit.training.run_lock import holds_something
from keras_vit.training.train import train

_MODEL_OPTIONS = (
    *("image_size", "patch_size", "hidden_dim", "num_layers", "num_heads", "mlp_dim"),
    *("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"),
    *("pooling", "dtype"),
)
_RECIPE_OPTIONS = (
    *("epochs", "batch_size", "seed", "learning_rate", "warmup_epochs"),
    *("weight_decay", "label_smoothing", "patience"),
)


def add_train(commands: Commands) -> None:
    """Add `keras-vit train` to the commands."""
    parser = add_command(
        commands,
        run_train,
        "train",
        "train a classifier on images",
        "--data photos/ --weights NAME --output saved_models/photos",
    )
    parser.usage = "keras-vit train --data DATA --output DIR [options]"
    add_source(parser, required=True)
    add_split(parser)
    _add_model(parser)
    _add_recipe(parser)
    _add_run(parser)


def _add_model(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--variant",
        metavar="NAME",
        help=f"one of {', '.join(VARIANTS)}; default: digits for digits, else Ti/16",
    )
    parser.add_argument(
        "--weights",
        metavar="SOURCE",
        help="checkpoint to start from, instead of --variant: a timm name, a hub id, a "
        "folder or a file; its head is replaced",
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="timm name of what a file of --weights without config.json holds",
    )
    model = CompactGroup(parser, "changes to the variant")
    model.add_argument("--image-size", "N|HxW", "pixels", type=size)
    model.add_argument("--patch-size", "N|HxW", "pixels", type=size)
    for name in ("hidden-dim", "num-layers", "num-heads", "mlp-dim"):
        model.add_argument(f"--{name}", "N", type=int)
    for name in ("dropout-rate", "attention-dropout-rate", "stochastic-depth-rate"):
        model.add_argument(f"--{name}", "X", type=float)
    model.add_argument("--pooling", "KIND", "token or mean")
    model.add_argument("--dtype", "POLICY", "such as mixed_bfloat16")


def _add_recipe(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help=f"{HEAD}, {', '.join(RECIPES)}; default: for --weights without a GPU or "
        "TPU head, a classifier on frozen weights, else photos_pretrained; without "
        "weights photos, for digits small_data",
    )
    recipe = parser.add_argument_group("changes to the recipe")
    for name in ("epochs", "batch-size", "seed"):
        recipe.add_argument(f"--{name}", type=int, metavar="N")
    about = "epochs without a better one after which the run ends"
    recipe.add_argument("--patience", type=int, metavar="N", help=about)
    for name in ("learning-rate", "warmup-epochs", "weight-decay", "label-smoothing"):
        recipe.add_argument(f"--{name}", type=float, metavar="X")
    recipe.add_argument(
        "--set",
        type=_setting,
        action="append",
        metavar="FIELD=VALUE",
        help="any other field of keras_vit.Recipe, such as layer_decay=0.75; of head "
        "an argument of fit_head, such as class_weight=balanced",
    )
    recipe.add_argument("--teacher", metavar="SOURCE", help="to distil from")


def _add_run(parser: ArgumentParser) -> None:
    parser.add_argument("--output", required=True, metavar="DIR", help="new folder")
    parser.add_argument(
        "--distribute",
        default="single",
        metavar="KIND",
        help="auto, mirrored, multi_worker, tpu, data_parallel or model_parallel; see "
        "docs/distribution.md",
    )
    parser.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="how many of one process; on TensorFlow without a GPU, parts of the CPU",
    )
    parser.add_argument(
        "--model-devices",
        type=int,
        metavar="N",
        help="of model_parallel: over how many devices each weight is cut",
    )
    about = "best epochs that have a file each, for keras-vit average; default 1"
    parser.add_argument("--keep", type=int, default=1, metavar="N", help=about)
    parser.add_argument("--tensorboard", action="store_true", help="write its logs")
    about = "draw, each N epochs, what the model looks at in the same pictures"
    parser.add_argument("--pictures", type=int, metavar="N", help=about)
    parser.add_argument("--resume", action="store_true", help="continue a stopped run")
    parser.add_argument("--overwrite", action="store_true", help="replace a former run")


def run_train(options: Namespace) -> None:
    """Train, evaluate on the held-out part and write the card."""
    if _is_head(options):
        return _run_head(options)
    _recipe(options)  # Fails now, if it does.
    devices = distribute(
        options.distribute, devices=options.devices, model_devices=options.model_devices
    )
    unshared = ("run", "arguments", "json", "output")
    with devices:
        # Before the model, whose weights the processes make together.
        devices.check_same(
            {k: v for k, v in vars(options).items() if k not in unshared}, "options"
        )
        model, data, recipe, result = _train(options)
    if not devices.is_main:
        return None
    if devices.num_replicas > 1:  # The weights in memory lie on all of them.
        model = load_keras(Path(options.output) / MODEL_FILE)
    at_once = min(64, result.images_at_once or 64)  # As many as fitted before.
    evaluation = evaluate(model, data, batch_size=at_once)
    write_card(
        options.output,
        model=model,
        data=data,
        recipe=recipe,
        result=result,
        evaluation=evaluation,
        command=command_line(options),
    )
    return _report(options, model, result, evaluation)


def _is_head(options: Namespace) -> bool:
    """Return whether a head is fitted on frozen weights.

    It is where nothing else is asked for and there is no accelerator: in the time of
    one pass over the pictures nothing else does as well.
    """
    if options.recipe is not None or not options.weights:
        return options.recipe == HEAD
    return not (_training_options(options) or has_accelerator())


def _training_options(options: Namespace) -> list[str]:
    """Return the options given that only a training by gradients reads."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("teacher", "tensorboard", "pictures", "resume", *_RECIPE_OPTIONS)
        if name not in ("batch_size", "seed") and getattr(options, name)
    ]
    settings = [name for name, _ in options.set or () if name not in SETTINGS]
    given += [f"--set {name}" for name in settings]
    rates = ("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate")
    given += [f"--{n.replace('_', '-')}" for n in rates if getattr(options, n)]
    return given + ["--distribute"] * (options.distribute != "single")


def _run_head(options: Namespace) -> None:
    """Fit a head on the weights that the options name."""
    unread = _training_options(options)
    if unread:
        raise ValueError(
            f"The recipe {HEAD!r} trains no weights by gradients, received "
            f"{', '.join(unread)}. Leave these out, or choose another --recipe. A head "
            "that was stopped goes on with the features that are there: start it again."
        )
    if not options.weights:
        raise ValueError(
            f"The recipe {HEAD!r} fits a classifier on trained weights, received none. "
            "Pass --weights, a timm name, a hub id, a folder or a file."
        )
    _check_model(options)
    _check_output(options)
    source = find_source(options.weights)
    data = open_data(options)
    _tell(data, options.data)
    model = _model(options, source)
    run_head(options, model, data, command_line(options))


def _report(
    options: Namespace,
    model: keras.Model,
    result: TrainingResult,
    evaluation: Evaluation,
) -> None:
    best, epochs = result.best_epoch, len(result.history)
    facts = {
        "output": str(options.output),
        "parameters": model.count_params(),
        "epochs": epochs,
        "best_epoch": best,
        "seconds": round(result.seconds, 1),
        **evaluation.as_json(),
    }
    where = f"best epoch {best} of {epochs}, in {options.output}"
    print_found(options, facts, evaluation.text(), where)


def _train(options: Namespace) -> tuple[keras.Model, ImageData, Recipe, TrainingResult]:
    """Read what the options name, train, and return what the card tells of."""
    recipe = _recipe(options)
    _check_model(options)
    _check_output(options)
    source = options.weights and find_source(options.weights)
    data = open_data(options)
    _tell(data, options.data)
    keras.utils.set_random_seed(recipe.seed)
    model = adapt_to_recipe(_start(options, source, data), recipe)
    result = train(
        model,
        data,
        recipe,
        teacher=load(options.teacher) if options.teacher else None,
        output=options.output,
        resume=options.resume or None,
        overwrite=options.overwrite,
        keep=options.keep,
        callbacks=_callbacks(options, data, recipe),
        tensorboard=options.tensorboard,
        verbose=0 if options.json else "auto",
    )
    return model, data, recipe, result


def _callbacks(
    options: Namespace, data: ImageData, recipe: Recipe
) -> list[keras.callbacks.Callback]:
    """Return what draws while the model trains, if that was asked for."""
    if options.pictures is None:
        return []
    check_count("--pictures", options.pictures, 1)
    if current().num_replicas > 1:
        raise ValueError(
            "--pictures draws on one device, received "
            f"--distribute {options.distribute}. Leave it out, and take keras-vit "
            "explain afterwards."
        )
    folder = Path(options.output)
    return [
        PictureLog(
            folder / PICTURE_FOLDER,
            data,
            every=options.pictures,
            augmentation=recipe.augmentation,
            mixing=recipe.mixing,
            tensorboard=folder / LOG_FOLDER if options.tensorboard else None,
        )
    ]


def _start(options: Namespace, source: Any, data: ImageData) -> ViT:
    """Return the model that training starts from, with a fitted head where it pays."""
    name = _recipe_name(options)
    if not source or name not in AFTER_A_HEAD:
        return _model(options, source, num_classes=data.num_classes)
    model = _model(options, source)
    if model.class_names == data.class_names:
        return model  # Its head is that of an earlier run.
    if model.preprocessing is None and options.recipe is None:
        if not options.json:
            print(
                f"head   none is fitted first: {options.weights!r} does not say how "
                "pictures are preprocessed"
            )
        return changed(model, num_classes=data.num_classes)
    return fit_head(model, data, seed=options.seed or 0, verbose=not options.json)


def _recipe_name(options: Namespace) -> str:
    if options.recipe:
        return options.recipe
    if options.weights and options.distribute == "single":
        return "photos_pretrained"
    return "small_data" if options.data == "digits" else "photos"


def _tell(data: ImageData, source: str) -> None:
    """Warn of what the cheap part of `keras-vit check` finds."""
    lines = before_training(data)
    if lines:
        lines.append(f"See keras-vit check {shlex.quote(source)}")
        warnings.warn(" ".join(lines), stacklevel=2)


def _recipe(options: Namespace) -> Recipe:
    name = _recipe_name(options)
    if name in AFTER_A_HEAD and options.weights and options.distribute != "single":
        raise ValueError(
            f"The recipe {name!r} fits a head first, on one device, received "
            f"--distribute {options.distribute}. Fit it before, with --recipe {HEAD}, "
            "and train what that writes: --recipe full_fine_tune --weights FOLDER."
        )
    changes = _given(options, _RECIPE_OPTIONS)
    if "epochs" in changes and "warmup_epochs" not in changes:
        short = get_recipe(name).with_epochs(changes["epochs"])
        changes["warmup_epochs"] = short.warmup_epochs
    changes |= dict(options.set or ())
    if options.multi_label and get_recipe(name).loss_name == "cross_entropy":
        # One question per class, unless the user names another loss.
        changes = {"loss_name": "binary_cross_entropy", **changes}
        if changes["loss_name"] == "cross_entropy":
            raise ValueError(
                "--multi-label needs a loss that asks one question per class, received "
                "--set loss_name=cross_entropy. Leave it out, or choose "
                "binary_cross_entropy, sigmoid_cross_entropy or asymmetric."
            )
    return get_recipe(name, **changes)


def _variant(options: Namespace) -> str:
    return options.variant or ("digits" if options.data == "digits" else "Ti/16")


def _check_model(options: Namespace) -> None:
    """Raise an error for what cannot be built, before the data is read."""
    if options.weights and options.variant:
        raise ValueError(
            "--weights brings its own architecture, received --variant "
            f"{options.variant} as well. Leave one of them out."
        )
    if options.architecture and not options.weights:
        raise ValueError(
            "--architecture says what the file of --weights holds, received it alone. "
            "Pass --weights FILE, or --variant for new weights."
        )
    if not options.weights:
        changes = _given(options, _MODEL_OPTIONS)
        changes.pop("dtype", None)
        ViTConfig.from_variant(_variant(options), **changes)


def _model(options: Namespace, source: Any, **classes: int) -> ViT:
    changes: dict[str, Any] = _given(options, _MODEL_OPTIONS) | classes
    if source:
        if is_own_model(source) and not options.architecture:
            return load(source, **changes)
        named = options.architecture or named_architecture(options.weights, source)
        checkpoint = open_checkpoint(source, named)
        note = own_size_note(checkpoint)
        if "image_size" not in changes:
            changes["image_size"] = OWN_SIZE
            if note and current().is_main and not options.json:
                print(f"size   {note}. --image-size takes another size.")
        return build(checkpoint, **changes)
    return ViT.from_variant(_variant(options), **changes)


def _given(options: Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _check_output(options: Namespace) -> None:
    options.output = str(Path(options.output).expanduser())
    folder = Path(options.output)
    used = holds_something(folder)
    goes_on = options.resume or options.overwrite or is_stopped(folder)
    if used and not goes_on:
        raise FileExistsError(
            f"{options.output!r} exists. Choose another --output, continue the run in "
            "it with --resume, or replace it with --overwrite."
        )
    check_writable(folder)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"must be FIELD=VALUE, received {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
