"""What the parsers of several commands share, and how all print what they found."""

from __future__ import annotations

import json
import shlex
import textwrap
from argparse import (
    SUPPRESS,
    ArgumentParser,
    HelpFormatter,
    Namespace,
    _ArgumentGroup,
    _SubParsersAction,
)
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import keras

from keras_vit.exporting.quantizations import QUANTIZATIONS
from keras_vit.files import check_writable
from keras_vit.inference.augmented import Views

Commands = _SubParsersAction
MODEL_HELP = ".keras file, file or folder of export, or output folder of train"


def add_command(
    commands: Commands,
    run: Callable[[Namespace], int | None],
    name: str,
    help: str,
    example: str,
) -> ArgumentParser:
    """Add a command and return its parser.

    Args:
        commands: of `keras-vit`.
        run: what the command does with its options; may return an exit code.
        name: of the command.
        help: what it does, in one line.
        example: arguments behind `keras-vit` and the name.
    """
    parser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=f"example: keras-vit {name} {example}",
        formatter_class=_Formatter,
    )
    parser.set_defaults(run=run)
    add_switches(parser, json="print one JSON object")
    parser.add_argument("--traceback", action="store_true", help=SUPPRESS)
    return parser


class _Formatter(HelpFormatter):
    """Break no option in two."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.fill(
            " ".join(text.split()),
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )


class CompactGroup:
    """Options whose help is one paragraph of names and values, not a line each.

    Args:
        parser: of the command.
        title: what the options are about.
    """

    def __init__(self, parser: ArgumentParser, title: str) -> None:
        self._group = parser.add_argument_group(title)
        self._texts: list[str] = []

    def add_argument(
        self, name: str, metavar: str, note: str = "", **options: Any
    ) -> None:
        """Add an option; `note` follows it in brackets."""
        self._group.add_argument(name, metavar=metavar, help=SUPPRESS, **options)
        self._texts.append(f"{name} {metavar}{f' ({note})' if note else ''}")
        self._group.description = ", ".join(self._texts)


def add_switches(parser: ArgumentParser | _ArgumentGroup, **helps: str) -> None:
    """Add options without a value: each name with its help."""
    for name, help in helps.items():
        name = name.replace("_", "-")
        parser.add_argument(f"--{name}", action="store_true", help=help)


def add_file_options(parser: ArgumentParser, **switches: str) -> None:
    """Add what every command that exports a model takes, and switches of its own."""
    precisions = f"one of {', '.join(QUANTIZATIONS)}; default float32"
    parser.add_argument("--quantization", metavar="NAME", help=precisions)
    about = "pictures or folders that show which values occur"
    parser.add_argument("--calibration", nargs="+", metavar="IMAGE", help=about)
    about = "to verify on; default: digits"
    parser.add_argument("--images", nargs="+", metavar="IMAGE", help=about)
    add_switches(parser, overwrite="replace what is at the output", **switches)


def add_views(parser: ArgumentParser) -> None:
    """Add the option of test-time augmentation."""
    parser.add_argument(
        "--tta",
        choices=get_args(Views),
        help="mean over views of each picture: flip (and its mirror image) or crops "
        "(ten)",
    )


def command_line(options: Namespace) -> str:
    """Return the command line that makes the same result anew."""
    left_out = ("--resume", "--overwrite", "--json")
    kept = [a for a in options.arguments if a not in left_out]
    return f"KERAS_BACKEND={keras.backend.backend()} keras-vit {shlex.join(kept)}"


def print_found(options: Namespace, value: Any, *lines: str) -> None:
    """Print what a command found: one JSON object with --json, else lines."""
    print(json.dumps(value, indent=1) if options.json else "\n".join(lines))


def keras_output(options: Namespace) -> Path:
    """Return where --output says that a `.keras` file goes, before any work.

    Raises:
        FileExistsError: if it is there and --overwrite is not.
        OSError: if its folder cannot be written.
        ValueError: if the name does not end in ".keras".
    """
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
    return output
