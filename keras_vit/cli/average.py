"""The command that averages models."""

from __future__ import annotations

from argparse import Namespace

from keras_vit.averaging import average
from keras_vit.cli.arguments import (
    Commands,
    add_command,
    add_switches,
    keras_output,
    print_found,
)
from keras_vit.keras_file import save_keras


def add_average(commands: Commands) -> None:
    """Add `keras-vit average` to the commands."""
    parser = add_command(
        commands,
        run_average,
        "average",
        "write the mean of the weights of several models",
        "saved_models/photos --output saved_models/soup.keras",
    )
    about = "output folder of train --keep, or two or more .keras files or folders"
    parser.add_argument("models", metavar="MODEL", nargs="+", help=about)
    parser.add_argument("--output", required=True, metavar="FILE", help="a .keras file")
    add_switches(parser, overwrite="replace what is at the output")


def run_average(options: Namespace) -> None:
    """Average models and write one."""
    output = keras_output(options)
    given = options.models
    model = average(given if len(given) > 1 else given[0])
    save_keras(model, output)
    facts = {"output": str(output), "parameters": model.count_params()}
    print_found(options, facts, f"{output}: {model.count_params():,} parameters")
