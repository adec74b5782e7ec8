"""The command that writes files for phones, browsers and servers."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from keras_vit.cli.arguments import Commands, add_command, add_file_options, print_found
from keras_vit.cli.data import add_columns, open_to_judge
from keras_vit.cli.values import batch, size_or_any
from keras_vit.data.image_data import ImageData
from keras_vit.data.sources.lists import ROLES
from keras_vit.data.sources.picture_files import image_files
from keras_vit.data.trained_pictures import read_trained_pictures, to_judge
from keras_vit.exporting.export import export
from keras_vit.exporting.export_all import export_all
from keras_vit.exporting.formats import FORMATS, format_name
from keras_vit.exporting.litert.sensitivity import sensitivity
from keras_vit.exporting.quantizations import FLOAT32
from keras_vit.exporting.request import INPUTS, PROFILES
from keras_vit.exporting.verification import MAX_LOSS
from keras_vit.inference.predictor import find_model
from keras_vit.keras_file import load_keras

# What a file says about itself.
_ABOUT = {
    "author": "who made the model",
    "license": "of the model, Apache-2.0 for example",
    "description": "what the model is for",
    "model_version": "of the model, 1.2 for example",
}

_SWITCHES = {
    "sensitivity": "write nothing; print what each part costs in int8 on --calibration",
    "all": "write every format and precision to the folder --output, and a table",
    "attention": "give the attention map as a second output",
    "probabilities": "add a softmax to a classifier that gives logits",
    "accept_loss": "keep a file that loses more accuracy than --max-loss",
}

# Options of one file, with their defaults: no comparison has them.
_OF_ONE = {
    "format": "litert",
    "quantization": None,
    "batch": 1,
    "input_size": None,
    "attention": False,
    "profile": None,
    "probabilities": False,
    **dict.fromkeys(_ABOUT),
}


def add_export(commands: Commands) -> None:
    """Add `keras-vit export` to the commands."""
    parser = add_command(
        commands,
        run_export,
        "export",
        "write a file for phones, browsers or servers, and verify it",
        "saved_models/photos --quantization dynamic_int8 --images photos/cat/*",
    )
    parser.add_argument("model", metavar="MODEL", help=".keras file or folder of train")
    formats = f"one of {', '.join(FORMATS)}; default litert"
    parser.add_argument("--format", default="litert", help=formats)
    add_file_options(parser, **_SWITCHES)
    parser.add_argument("--output", metavar="PATH", help="default: beside the model")
    parser.add_argument(
        "--batch", type=batch, default=1, metavar="N|dynamic", help="default 1"
    )
    parser.add_argument(
        "--input",
        default="float",
        choices=INPUTS,
        help="pixels: the file resizes and normalizes; int8, int16: integers in and "
        "out; default float",
    )
    parser.add_argument(
        "--input-size", type=size_or_any, metavar="N|HxW|any", help="of these pixels"
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="to measure accuracy on: what evaluate takes",
    )
    add_columns(parser, *ROLES)
    parser.add_argument(
        "--max-loss",
        type=float,
        default=MAX_LOSS,
        metavar="X",
        help="of accuracy that a precision may cost; default 0.01",
    )
    parser.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="measure no latency and write no report beside the file",
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="mobile: a file that GPU delegates and MediaPipe take",
    )
    for name, help in _ABOUT.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=help)


def run_export(options: Namespace) -> None:
    """Export a `.keras` model and print what was found."""
    source = find_model(options.model)
    if source.suffix != ".keras":
        path = str(source)
        raise ValueError(f"Only a .keras model can be exported, received {path!r}.")
    model = load_keras(source)
    if options.sensitivity:
        print_sensitivity(model, options)
    elif options.all:
        print_comparison(model, source, options)
    else:
        print_file(model, source, options)


def print_file(model: keras.Model, source: Path, options: Namespace) -> None:
    """Write one file, and print what verification found."""
    report = export(
        model,
        options.output or default_path(source, options.format, options.quantization),
        format=options.format,
        quantization=options.quantization,
        batch=options.batch,
        input_size=options.input_size,
        attention=options.attention,
        probabilities=options.probabilities,
        profile=options.profile,
        author=options.author,
        license=options.license,
        description=options.description,
        version=options.model_version,
        report=options.report,
        **_of_each(source, options),
    )
    for warning in report.warnings:
        print(f"keras-vit: warning: {warning}", file=sys.stderr)
    print_found(options, report.as_json(), report.text())


def print_comparison(model: keras.Model, source: Path, options: Namespace) -> None:
    """Write all formats and precisions, and print the table."""
    given = [name for name, value in _OF_ONE.items() if getattr(options, name) != value]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(
            "--all compares every format and precision with one image per call, "
            f"received {names}. Leave it out."
        )
    folder = options.output or f"{source.with_suffix('')}_exports"
    found = export_all(model, folder, **_of_each(source, options))
    summaries = f"{found.folder}: {', '.join(found.summaries())}"
    print_found(options, found.as_json(), found.text(), summaries)


def _of_each(source: Path, options: Namespace) -> dict[str, Any]:
    """Return the arguments that one file and a comparison have in common."""
    return {
        "calibration": options.calibration and image_files(options.calibration),
        "images": options.images and image_files(options.images),
        "evaluation": evaluation_data(source, options),
        "input": options.input,
        "max_loss": options.max_loss,
        "accept_loss": options.accept_loss,
        "overwrite": options.overwrite,
    }


def print_sensitivity(model: keras.Model, options: Namespace) -> None:
    """Print what each part of a model costs in int8."""
    if not options.calibration:
        raise ValueError(
            "--sensitivity measures on the pictures of --calibration, received none. "
            "Add --calibration with about 100 pictures like those in use."
        )
    found = sensitivity(model, image_files(options.calibration))
    print_found(options, asdict(found), found.table())


def default_path(source: Path, format: str, quantization: str | None) -> str:
    """Return the name of an exported file beside the model."""
    name = format_name(format)
    precision = "" if quantization in (None, FLOAT32) else f"_{quantization}"
    kind = FORMATS[name].suffix or f"_{name}"
    return f"{source.with_suffix('')}{precision}{kind}"


def evaluation_data(source: Path, options: Namespace) -> ImageData | None:
    """Return the data of --data, in the parts of the run that made the model."""
    if options.data is None:
        return None
    # Else a model would be judged by images that it was trained on.
    trained = read_trained_pictures(source.parent)
    data = open_to_judge(options, trained)
    return replace(data, test=to_judge(data, None, trained).images)
