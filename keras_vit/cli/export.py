"""The command that writes files for phones, browsers and servers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras

from keras_vit.cli.values import batch, size_or_any
from keras_vit.data.folder import image_files
from keras_vit.data.image_data import ImageData, load_data
from keras_vit.export.comparison import export_all
from keras_vit.export.export import export
from keras_vit.export.formats import FORMATS, format_name
from keras_vit.export.judge import MAX_LOSS
from keras_vit.export.quantizations import FLOAT32, QUANTIZATIONS
from keras_vit.export.report import ExportReport
from keras_vit.export.report_text import shape_text
from keras_vit.export.request import INPUTS, PROFILES
from keras_vit.export.sensitivity import sensitivity
from keras_vit.inference.predictor import find_model
from keras_vit.keras_file import load_keras
from keras_vit.training.run_folder import trained_split

# What a file says about itself.
_ABOUT = {
    "author": "who made the model",
    "license": "of the model, Apache-2.0 for example",
    "description": "what the model is for",
    "model_version": "of the model, 1.2 for example",
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

Add = Callable[..., argparse.ArgumentParser]


def add_export(commands: argparse._SubParsersAction, add: Add) -> None:
    """Add `keras-vit export` to the commands."""
    parser = add(
        commands,
        "export",
        "write a file for phones, browsers or servers, and verify it",
        "export saved_models/photos --quantization dynamic_int8 --images photos/cat/*",
    )
    parser.set_defaults(run=run_export)
    parser.add_argument("model", metavar="MODEL", help=".keras file or folder of train")
    parser.add_argument(
        "--format",
        default="litert",
        help=f"one of {', '.join(FORMATS)}; default litert",
    )
    parser.add_argument(
        "--quantization",
        metavar="NAME",
        help=f"one of {', '.join(QUANTIZATIONS)}; default float32",
    )
    parser.add_argument(
        "--calibration",
        nargs="+",
        metavar="IMAGE",
        help="pictures or folders that show which values occur",
    )
    parser.add_argument(
        "--sensitivity",
        action="store_true",
        help="write nothing; print what each part costs in int8 on --calibration",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="write every format and precision to the folder --output, and a table",
    )
    parser.add_argument("--output", metavar="PATH", help="default: beside the model")
    parser.add_argument(
        "--batch", type=batch, default=1, metavar="N|dynamic", help="default 1"
    )
    parser.add_argument(
        "--input",
        default="float",
        choices=INPUTS,
        help="pixels: the file resizes and normalizes them itself; default float",
    )
    parser.add_argument(
        "--input-size", type=size_or_any, metavar="N|HxW|any", help="of these pixels"
    )
    parser.add_argument(
        "--images", nargs="+", metavar="IMAGE", help="to verify on; default: digits"
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="to measure accuracy on: digits, a folder of images, or tfds:NAME",
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        default=MAX_LOSS,
        metavar="X",
        help="of accuracy that a precision may cost; default 0.01",
    )
    parser.add_argument(
        "--accept-loss", action="store_true", help="keep a file that loses more"
    )
    parser.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="measure no latency and write no report beside the file",
    )
    parser.add_argument(
        "--attention",
        action="store_true",
        help="give the attention map as a second output",
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="mobile: a file that GPU delegates and MediaPipe take",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="add a softmax to a classifier that gives logits",
    )
    for name, help in _ABOUT.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="TEXT", help=help)
    parser.add_argument("--force", action="store_true", help="replace a former file")


def run_export(options: argparse.Namespace) -> None:
    """Export a `.keras` model and print what verification found."""
    source = find_model(options.model)
    if source.suffix != ".keras":
        raise ValueError(
            f"Only a .keras model can be exported, received {str(source)!r}."
        )
    if options.sensitivity:
        print_sensitivity(load_keras(source), options)
        return
    if options.all:
        print_comparison(load_keras(source), source, options)
        return
    output = options.output or default_path(
        source, options.format, options.quantization
    )
    report = export(
        load_keras(source),
        output,
        format=options.format,
        quantization=options.quantization,
        calibration=options.calibration and image_files(options.calibration),
        batch=options.batch,
        input=options.input,
        input_size=options.input_size,
        attention=options.attention,
        probabilities=options.probabilities,
        profile=options.profile,
        author=options.author,
        license=options.license,
        description=options.description,
        version=options.model_version,
        images=options.images and image_files(options.images),
        evaluation=evaluation_data(source, options),
        max_loss=options.max_loss,
        accept_loss=options.accept_loss,
        report=options.report,
        overwrite=options.force,
    )
    for warning in report.warnings:
        print(f"keras-vit: warning: {warning}", file=sys.stderr)
    if options.json:
        print(json.dumps(report.as_json(), indent=1))
        return
    print_report(report)


def print_comparison(
    model: keras.Model, source: Path, options: argparse.Namespace
) -> None:
    """Write all formats and precisions, and print the table."""
    given = [name for name, value in _OF_ONE.items() if getattr(options, name) != value]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ValueError(
            "--all compares every format and precision with one image per call, "
            f"received {names}. Leave it out."
        )
    found = export_all(
        model,
        options.output or f"{source.with_suffix('')}_exports",
        evaluation=evaluation_data(source, options),
        images=options.images and image_files(options.images),
        calibration=options.calibration and image_files(options.calibration),
        input=options.input,
        max_loss=options.max_loss,
        accept_loss=options.accept_loss,
        overwrite=options.force,
    )
    print(json.dumps(found.as_json(), indent=1) if options.json else found.text())
    if not options.json:
        print(f"{found.folder}: {', '.join(found.summaries())}")


def print_report(report: ExportReport) -> None:
    """Print what was written and what verification found."""
    print(f"{report.path}: {report.num_bytes:,} bytes")
    print(f"  input   {report.inputs['name']} {shape_text(report.inputs)}")
    print(f"  output  {report.output}")
    print(
        f"  checked on {report.num_images} images: largest difference "
        f"{report.max_difference:.1e}, top-1 agreement {report.top1_agreement:.2%}"
    )
    if report.accuracy is not None:
        print(
            f"  accuracy {report.accuracy:.2%}, {report.model_accuracy:.2%} for the "
            "Keras model"
        )
    if report.latency is not None:
        ratio = report.latency_ratio
        text = "" if ratio is None else f", {ratio:.2f} of float32"
        print(
            f"  latency {report.latency.median_ms:.2f} ms{text}, one thread, "
            f"{report.device}"
        )
    if report.float_parts:
        print(f"  in float {', '.join(report.float_parts)}")
    for change in report.changes:
        print(f"  changed {change}")
    if report.ops:
        print(f"  ops     {sum(report.ops.values())} built-in LiteRT ops")


def print_sensitivity(model: keras.Model, options: argparse.Namespace) -> None:
    """Print what each part of a model costs in int8."""
    if not options.calibration:
        raise ValueError(
            "--sensitivity measures on the pictures of --calibration, received none. "
            "Add --calibration with about 100 pictures like those in use."
        )
    found = sensitivity(model, image_files(options.calibration))
    print(json.dumps(asdict(found), indent=1) if options.json else found.table())


def default_path(source: Path, format: str, quantization: str | None) -> str:
    """Return the name of an exported file beside the model."""
    name = format_name(format)
    precision = "" if quantization in (None, FLOAT32) else f"_{quantization}"
    kind = FORMATS[name].suffix or f"_{name}"
    return f"{source.with_suffix('')}{precision}{kind}"


def evaluation_data(source: Path, options: argparse.Namespace) -> ImageData | None:
    """Return the data of --data, in the parts of the run that made the model."""
    if options.data is None:
        return None
    # Else a model would be judged by images that it was trained on.
    return load_data(options.data, **trained_split(source.parent, options.data))
