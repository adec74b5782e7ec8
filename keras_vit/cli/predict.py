"""The command that names what is on pictures."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from keras_vit.cli.arguments import (
    MODEL_HELP,
    Commands,
    add_command,
    add_switches,
    add_views,
    print_found,
)
from keras_vit.cli.data import add_columns, list_options
from keras_vit.cli.explain import check_folder, map_names, write_folder
from keras_vit.explaining.explain import explain
from keras_vit.inference.predict import each_prediction
from keras_vit.inference.predict_to_file import predict_to_file
from keras_vit.inference.predictor import find_model
from keras_vit.loading import is_own_model

# Some pictures could not be read; the others were.
EXIT_LEFT_OUT = 3


def add_predict(commands: Commands) -> None:
    """Add `keras-vit predict` to the commands."""
    parser = add_command(
        commands,
        run_predict,
        "predict",
        "name the most likely classes of pictures",
        "saved_models/digits/model.tflite examples/images/three.png --top 3",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    about = "image file; with --output also a folder, an archive or a list"
    parser.add_argument("images", metavar="IMAGE", nargs="+", help=about)
    about = "default 5; of a model for several labels those from their threshold on"
    parser.add_argument("--top", type=int, metavar="K", help=about)
    add_views(parser)
    about = "folder for a map of each picture: what the model looks at for its class"
    parser.add_argument("--explain", metavar="FOLDER", help=about)
    add_columns(parser, "path")
    group = parser.add_argument_group("a file of predictions")
    about = "write a row for each picture; the same command goes on after a stop"
    group.add_argument("--output", metavar="FILE.csv", help=about)
    about = "fill this sample of Kaggle: its ids, its columns, its order"
    group.add_argument("--submission", metavar="SAMPLE.csv", help=about)
    about = "models to average with, such as those of other folds"
    group.add_argument("--mean-with", nargs="+", metavar="MODEL", help=about)
    about = "only pictures that the model's run was not trained on"
    group.add_argument("--held-out", action="store_true", help=about)
    group.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="default 32"
    )
    add_switches(group, overwrite="replace what is at the output")


def run_predict(options: Namespace) -> int:
    """Print the most likely classes of each picture, as they come, or write a file.

    Returns:
        0, or `EXIT_LEFT_OUT` if a picture could not be read and others could.
    """
    if options.output is not None:
        if options.explain is not None:
            raise ValueError(
                "--explain draws a map of each picture that is named here, received "
                "--output as well. Leave one of them out; keras-vit explain draws "
                "maps alone."
            )
        return _write(options)
    for name in ("submission", "mean_with", "held_out"):
        if getattr(options, name):
            raise ValueError(
                f"--{name.replace('_', '-')} is for a file of predictions. Add "
                "--output FILE.csv."
            )
    images: list[str] = options.images
    _check_files(images)
    if options.explain is not None:
        _check_maps(options)
    rows, refused = {}, []
    results = each_prediction(
        options.model, images, options.top, keep_going=True, augment=options.tta
    )
    for image, found in zip(images, results, strict=True):
        if isinstance(found, Exception):
            refused.append(found)
            if len(images) > 1:
                print(f"keras-vit: left out: {_line(image, found)}", file=sys.stderr)
            continue
        rows[image] = [asdict(p) for p in found]
        if not options.json:
            classes = [f"  {p.probability:7.2%}  {p.class_name}" for p in found]
            classes = classes or ["  none of the classes"]
            print("\n".join([image, *classes]), flush=True)
    if not rows:
        if len(refused) == 1:
            raise refused[0]
        raise ValueError(f"None of the {len(images)} pictures can be read.")
    if options.explain is not None:
        folder, read = Path(options.explain).expanduser(), [Path(name) for name in rows]
        found = explain(find_model(options.model), read)
        write_folder(folder, map_names(read, None), found)
        if not options.json:
            print(f"maps in {folder}")
    if options.json:
        print(json.dumps(rows, indent=1))
    return EXIT_LEFT_OUT if refused else 0


def _check_maps(options: Namespace) -> None:
    """Refuse, before any work, what has no maps or cannot hold them."""
    images = [Path(name) for name in options.images]
    folder = Path(options.explain).expanduser()
    if folder.suffix.lower() in (".html", ".htm"):
        raise ValueError(
            f"--explain is a folder for maps, received {options.explain!r}. keras-vit "
            "explain --output FILE.html writes a page."
        )
    check_folder(folder, map_names(images, None), options.overwrite)
    model = find_model(options.model)
    if not is_own_model(model):
        raise ValueError(
            f"--explain looks into a Keras model, received {str(model)!r}. Pass the "
            ".keras file that it was made from."
        )


def _write(options: Namespace) -> int:
    """Write a file with a row for each picture."""
    written = predict_to_file(
        [options.model, *(options.mean_with or ())],
        options.images,
        options.output,
        submission=options.submission,
        held_out=options.held_out,
        batch_size=options.batch_size,
        augment=options.tta,
        overwrite=options.overwrite,
        verbose=not options.json,
        **list_options(options),
    )
    print_found(options, written.as_json(), written.text())
    return EXIT_LEFT_OUT if written.unreadable else 0


def _check_files(names: Sequence[str]) -> None:
    """Raise an error if none of the names is that of a file."""
    images = [Path(name).expanduser() for name in names]
    if any(image.is_file() for image in images):
        return
    folders = [str(image) for image in images if image.is_dir()]
    if folders:
        raise ValueError(
            f"Pictures are given as files, received the folder {folders[0]!r}. Name "
            f"the files, for example {folders[0]}/*, or write a file of predictions "
            "with --output FILE.csv."
        )
    missing = [str(image) for image in images if not image.exists()]
    if missing:
        raise FileNotFoundError(f"No image file {', '.join(map(repr, missing))}.")


def _line(image: str, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if image in text else f"{image}: {text}"
