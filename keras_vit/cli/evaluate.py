"""The command that measures the accuracy of a model."""

from __future__ import annotations

from argparse import Namespace

from keras_vit.cli.arguments import (
    MODEL_HELP,
    Commands,
    add_command,
    add_views,
    print_found,
)
from keras_vit.cli.data import add_source, add_split, has_split, open_to_judge
from keras_vit.data.trained_pictures import ALL, read_trained_pictures
from keras_vit.inference.evaluate import evaluate
from keras_vit.inference.predictor import find_model


def add_evaluate(commands: Commands) -> None:
    """Add `keras-vit evaluate` to the commands."""
    parser = add_command(
        commands,
        run_evaluate,
        "evaluate",
        "measure the accuracy of a model on labelled images",
        "saved_models/digits/model.tflite --data digits",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_source(parser)
    add_split(parser)
    parser.add_argument(
        "--part",
        help="train, validation, test or all; default: what the model was not trained "
        "on, else all",
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    add_views(parser)


def run_evaluate(options: Namespace) -> None:
    """Evaluate a model of any form."""
    trained = read_trained_pictures(find_model(options.model).parent)
    data = open_to_judge(options, trained)
    part = options.part
    if part is None and has_split(options):
        # As it was asked for.
        part = data.held_out[0] if options.folds is None else "validation"
    elif part is None and trained is None and [*data.parts] == ["train"]:
        part = ALL
    evaluation = evaluate(
        options.model,
        data,
        part=part,
        batch_size=options.batch_size,
        augment=options.tta,
    )
    names = {"model": options.model, "data": options.data}
    if options.tta:
        names["tta"] = options.tta
    print_found(options, {**names, **evaluation.as_json()}, evaluation.text())
