"""The commands: call the public functions and print what they return."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from keras_vit.checkpoints.hub import find_source
from keras_vit.config import VARIANTS, ViTConfig
from keras_vit.data.image_data import ImageData, load_data
from keras_vit.distribution import distribute
from keras_vit.export.audit import audit
from keras_vit.files import check_writable
from keras_vit.inference.evaluate import evaluate
from keras_vit.inference.predict import predict
from keras_vit.inference.predictor import find_model, load_keras
from keras_vit.loading import load
from keras_vit.metadata import read_metadata
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing
from keras_vit.registry import list_models
from keras_vit.surgery import resize
from keras_vit.training.card import write_card
from keras_vit.training.progress import macs_per_image
from keras_vit.training.recipe import Recipe
from keras_vit.training.recipes import get_recipe
from keras_vit.training.run_folder import (
    MODEL_FILE,
    TrainingResult,
    is_stopped,
    trained_split,
)
from keras_vit.training.train import train

_MODEL_OPTIONS = (
    *("image_size", "patch_size", "hidden_dim", "num_layers", "num_heads", "mlp_dim"),
    *("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"),
    *("pooling", "dtype"),
)
_RECIPE_OPTIONS = (
    *("epochs", "batch_size", "seed", "learning_rate", "warmup_epochs"),
    *("weight_decay", "label_smoothing"),
)


def run_train(options: argparse.Namespace) -> None:
    """Train, evaluate on the held-out part and write the card."""
    devices = distribute(
        options.distribute,
        devices=options.devices,
        model_devices=options.model_devices,
    )
    common = {
        k: v
        for k, v in vars(options).items()
        if k not in ("run", "arguments", "json", "output")
    }
    with devices:
        # Before the model, whose weights the processes make together.
        devices.check_same(common, "options")
        model, data, recipe, result = _train(options)
    if not devices.is_main:
        return None
    if devices.num_replicas > 1:  # The weights in memory lie on all of them.
        model = load_keras(Path(options.output) / MODEL_FILE)
    evaluation = evaluate(model, data)
    flags = [a for a in options.arguments if a not in ("--resume", "--overwrite")]
    write_card(
        options.output,
        model=model,
        data=data,
        recipe=recipe,
        result=result,
        evaluation=evaluation,
        command=f"KERAS_BACKEND={keras.backend.backend()} keras-vit "
        + shlex.join(a for a in flags if a != "--json"),
    )
    report = {
        "output": str(options.output),
        "parameters": model.count_params(),
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "seconds": round(result.seconds, 1),
        **evaluation,
    }
    if options.json:
        return _print_json(report)
    _print_evaluation(evaluation)
    print(
        f"best epoch {result.best_epoch} of {len(result.history)}, in {options.output}"
    )
    return None


def _train(
    options: argparse.Namespace,
) -> tuple[keras.Model, ImageData, Recipe, TrainingResult]:
    """Read what the options name, train, and return what the card tells of."""
    is_digits = options.data == "digits"
    variant = options.variant or ("digits" if is_digits else "Ti/16")
    recipe_name = options.recipe or ("small_data" if is_digits else "photos")
    recipe_changes = _given(options, _RECIPE_OPTIONS)
    if "epochs" in recipe_changes and "warmup_epochs" not in recipe_changes:
        # A short run warms up for the same share of its epochs.
        full = get_recipe(recipe_name)
        share = full.warmup_epochs / full.epochs
        recipe_changes["warmup_epochs"] = share * recipe_changes["epochs"]
    recipe_changes |= dict(options.set or ())
    recipe = get_recipe(recipe_name, **recipe_changes)
    changes = _given(options, _MODEL_OPTIONS)
    if recipe.patch_dropout_rate:  # A layer, which no model has without.
        changes["patch_dropout_rate"] = recipe.patch_dropout_rate
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
        ViTConfig.from_variant(  # Fails before the data is read.
            variant, **{k: v for k, v in changes.items() if k != "dtype"}
        )
    _check_output(options)
    source = options.weights and find_source(options.weights)
    data = _data(options)
    keras.utils.set_random_seed(recipe.seed)
    if source:
        model = load(
            source,
            architecture=options.architecture,
            num_classes=data.num_classes,
            **changes,
        )
    else:
        model = ViT.from_variant(variant, num_classes=data.num_classes, **changes)
    if model.preprocessing is None and model.config.image_size is not None:
        model.preprocessing = Preprocessing(
            image_size=model.config.image_size, channels=model.config.channels
        )
    if recipe.image_sizes:
        model = resize(model, image_size=None)  # The size it had is that of inference.
    teacher = None
    if options.teacher:
        teacher = load(options.teacher)
    result = train(
        model,
        data,
        recipe,
        teacher=teacher,
        output=options.output,
        resume=options.resume or None,
        overwrite=options.overwrite,
        tensorboard=options.tensorboard,
        verbose=0 if options.json else "auto",
    )
    return model, data, recipe, result


def run_evaluate(options: argparse.Namespace) -> None:
    """Evaluate a model of any form."""
    model = find_model(options.model)
    # The parts of the run that made the model: else training images would be scored.
    split = trained_split(model.parent, options.data)
    result = evaluate(
        options.model,
        _data(options, **split),
        part=options.part,
        batch_size=options.batch_size,
    )
    if options.json:
        return _print_json({"model": options.model, "data": options.data, **result})
    _print_evaluation(result)


def run_predict(options: argparse.Namespace) -> None:
    """Print the most likely classes of each picture."""
    images = [Path(image).expanduser() for image in options.images]
    folders = [str(image) for image in images if image.is_dir()]
    if folders:
        raise ValueError(
            f"Pictures are given as files, received the folder {folders[0]!r}. Name "
            f"the files, for example {folders[0]}/*."
        )
    missing = [str(image) for image in images if not image.is_file()]
    if missing:
        raise FileNotFoundError(f"No image file {', '.join(map(repr, missing))}.")
    results = predict(options.model, options.images, top=options.top)
    if options.json:
        return _print_json(
            {
                image: [asdict(prediction) for prediction in predictions]
                for image, predictions in zip(options.images, results, strict=True)
            }
        )
    for image, predictions in zip(options.images, results, strict=True):
        print(image)
        for prediction in predictions:
            print(f"  {prediction.probability:7.2%}  {prediction.class_name}")


def run_list(options: argparse.Namespace) -> None:
    """Print the table of variants, or the models that fit a pattern."""
    if options.pattern or options.family or options.license or options.untrained:
        return _list_models(options)
    rows = [
        {
            "variant": name,
            "parameters": variant.config.num_parameters,
            "macs": variant.config.macs,
            **{
                key: getattr(variant.config, key)
                for key in ("image_size", "patch_size", "hidden_dim", "num_layers")
            },
            "num_heads": variant.config.num_heads,
            "mlp_dim": variant.config.mlp_dim,
            "source": variant.source,
        }
        for name, variant in VARIANTS.items()
    ]
    if options.json:
        return _print_json(rows)
    print(f"{'variant':9}{'parameters':>15}{'GMACs':>9}  image  patch  source")
    for row in rows:
        print(
            f"{row['variant']:9}{row['parameters']:>15,}{row['macs'] / 1e9:>9.3f}"
            f"{row['image_size'][0]:>7}{row['patch_size'][0]:>7}  {row['source']}"
        )


def _list_models(options: argparse.Namespace) -> None:
    found = list_models(
        options.pattern or "*",
        family=options.family,
        license=options.license,
        pretrained=not options.untrained,
    )
    if options.json:
        return _print_json([asdict(info) for info in found])
    print(
        f"{'name':52}{'parameters':>15}{'GMACs':>9}{'pixels':>10}{'classes':>8}  "
        "family, licence"
    )
    for info in found:
        height, width = info.image_size
        size = str(height) if height == width else f"{height}x{width}"
        print(
            f"{info.name:52}{info.parameters:>15,}{info.macs / 1e9:>9.2f}{size:>10}"
            f"{info.num_classes:>8}  {info.family}, {info.license or 'no weights'}"
        )
    if not found:
        print("no model fits; keras-vit list '*' shows all")


def run_info(options: argparse.Namespace) -> None:
    """Print what a model file says about itself."""
    path = find_model(options.model)
    audited = audit(path) if path.suffix == ".tflite" else None
    is_keras = path.suffix == ".keras"
    facts = _keras_facts(load_keras(path)) if is_keras else _file_facts(path)
    if audited is not None:
        facts["ops"] = {op.name: op.count for op in audited.ops}
        facts["xnnpack_partitions"] = audited.xnnpack_partitions
        facts["dynamic_shapes"] = audited.dynamic_shapes
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    num_bytes = sum(file.stat().st_size for file in files)
    facts = {"path": str(path), "bytes": num_bytes, **facts}
    if options.json:
        audits = {} if audited is None else {"audit": asdict(audited)["ops"]}
        return _print_json({**facts, **audits})
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k}={v}" for k, v in value.items())
        elif isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value[:20])) + (", …" if len(value) > 20 else "")
        elif isinstance(value, int):
            value = f"{value:,}"
        print(f"{name:19}{value}")
    if audited is not None:
        print(f"\n{audited.table()}")


def _file_facts(path: Path) -> dict[str, Any]:
    try:
        metadata = read_metadata(path)
    except ValueError:
        if path.suffix != ".tflite":
            raise
        return {"metadata": "none of keras_vit"}  # the ops can be told all the same
    about = metadata.get("about", {})  # files of before have none
    made_by = about.get("provenance", {})
    keys = ("input", "output", "preprocessing", "class_names", "config")
    return {
        **{key: text for key, text in about.items() if key != "provenance"},
        **({"made by": made_by} if made_by else {}),
        **{key: metadata[key] for key in keys},
    }


def _keras_facts(model: keras.Model) -> dict[str, Any]:
    config = getattr(model, "config", None)
    preprocessing = getattr(model, "preprocessing", None)
    return {
        "parameters": model.count_params(),
        "macs": macs_per_image(model),
        "input_shape": list(model.input_shape),
        "output_shape": list(model.output_shape),
        "dtype": model.dtype_policy.name,
        "class_names": list(getattr(model, "class_names", None) or []),
        "preprocessing": preprocessing and asdict(preprocessing),
        "config": config and asdict(config),
    }


def _data(options: argparse.Namespace, **split: Any) -> ImageData:
    given = {
        "validation_fraction": options.validation_fraction,
        "test_fraction": options.test_fraction,
        "seed": options.split_seed,
    }
    return load_data(
        options.data,
        **{**split, **{k: v for k, v in given.items() if v is not None}},
        data_dir=options.data_dir,
        skip_unreadable=options.skip_unreadable,
    )


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _check_output(options: argparse.Namespace) -> None:
    options.output = str(Path(options.output).expanduser())
    folder = Path(options.output)
    used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    goes_on = options.resume or options.overwrite or is_stopped(folder)
    if used and not goes_on:
        raise FileExistsError(
            f"{options.output!r} exists. Choose another --output, continue the run in "
            "it with --resume, or replace it with --overwrite."
        )
    check_writable(folder)


def _print_evaluation(result: dict[str, Any]) -> None:
    top5 = ""
    if "top5_accuracy" in result:
        top5 = f", top-5 {result['top5_accuracy']:.4f}"
    print(
        f"accuracy {result['accuracy']:.4f}{top5}, loss {result['loss']:.4f} on "
        f"{result['num_images']} {result['part']} images"
    )


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))
