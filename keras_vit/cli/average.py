"""The command that averages models."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from keras_vit.averaging import average
from keras_vit.cli.arguments import Commands, add_command, add_switches, print_found
from keras_vit.files import check_writable
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
    output = Path(options.output).expanduser()
    if output.suffix != ".keras":
        raise ValueError(
            f"--output is a .keras file, received {options.output!r}. Change its end."
        )
    if output.exists() and not options.overwrite:
        raise FileExistsError(
            f"{options.output!r} exists. Choose another --output, or --overwrite."
        )
    check_writable(output.parent)
    given = options.models
    model = average(given if len(given) > 1 else given[0])
    save_keras(model, output)
    facts = {"output": str(output), "parameters": model.count_params()}
    print_found(options, facts, f"{output}: {model.count_params():,} parameters")
