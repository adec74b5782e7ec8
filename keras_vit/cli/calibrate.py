"""The command that lets a model say how sure it is, and that it does not know."""

from __future__ import annotations

from argparse import Namespace

from keras_vit.cli.arguments import (
    Commands,
    add_command,
    add_switches,
    keras_output,
    print_found,
)
from keras_vit.cli.data import add_source, add_split, open_to_judge
from keras_vit.data.trained_pictures import read_trained_pictures
from keras_vit.heads.calibrate import calibrate
from keras_vit.inference.predictor import find_model
from keras_vit.keras_file import save_keras


def add_calibrate(commands: Commands) -> None:
    """Add `keras-vit calibrate` to the commands."""
    parser = add_command(
        commands,
        run_calibrate,
        "calibrate",
        "let the probabilities of a model say how often they are right",
        "saved_models/photos --data photos/ --output calibrated.keras",
    )
    about = "output folder of train, or a .keras file"
    parser.add_argument("model", metavar="MODEL", help=about)
    add_source(parser)
    add_split(parser)
    parser.add_argument(
        "--part",
        default="validation",
        help="validation (default), test or all: pictures that it was not trained on",
    )
    parser.add_argument(
        "--none-of-these",
        type=float,
        metavar="SHARE",
        help="add an output for pictures of none of the classes, which rejects this "
        "share of theirs, such as 0.05",
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--output", required=True, metavar="FILE", help="a .keras file")
    add_switches(parser, overwrite="replace what is at the output")


def run_calibrate(options: Namespace) -> None:
    """Calibrate a model and write the copy."""
    output = keras_output(options)
    trained = read_trained_pictures(find_model(options.model).parent)
    model = calibrate(
        options.model,
        open_to_judge(options, trained),
        part=options.part,
        none_of_these=options.none_of_these,
        batch_size=options.batch_size,
        verbose=not options.json,
    )
    save_keras(model, output)
    print_found(options, {"output": str(output)}, f"model in {output}")
