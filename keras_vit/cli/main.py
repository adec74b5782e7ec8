"""Parse the command line, run one command, turn mistakes into one line."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from keras_vit.cli.augment import run_augment
from keras_vit.cli.benchmark import add_benchmark
from keras_vit.cli.commands import (
    run_evaluate,
    run_info,
    run_list,
    run_predict,
    run_train,
)
from keras_vit.cli.demo import add_demo
from keras_vit.cli.export import add_export
from keras_vit.cli.values import size
from keras_vit.config import VARIANTS
from keras_vit.training.interruption import EXIT_CODE, TrainingInterrupted
from keras_vit.training.recipes import RECIPES

EXIT_OK = 0
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_STOPPED = EXIT_CODE  # by SIGTERM, with the state saved

_DATA_HELP = "digits, a folder of images, or tfds:NAME"
_MODEL_HELP = ".keras file, file or folder of export, or output folder of train"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `keras-vit` and return its exit code: 0, or 2 for a user's mistake.

    Args:
        arguments: what stands after `keras-vit`. Default: `sys.argv[1:]`.
    """
    options = _parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _terminated_in_order():
            options.run(options)
    except TrainingInterrupted as error:
        print(f"keras-vit: {error}", file=sys.stderr)
        return EXIT_STOPPED
    except KeyboardInterrupt:
        message = "interrupted"
        if options.command == "train":
            message += "; the same command goes on with the run"
        print(f"keras-vit: {message}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has gone: nothing to say and no one to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception as error:  # Runtimes raise types of their own for bad files.
        if options.traceback:
            raise
        print(f"keras-vit: error: {_one_line(error)}", file=sys.stderr)
        return EXIT_MISTAKE
    return EXIT_OK


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Let SIGTERM unwind what runs: no child process and no half a file stays.

    Training sets a handler of its own meanwhile. Other threads than the main one can
    set none.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former or signal.SIG_DFL)


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename and str(error.filename) not in text:
            text = f"{text}: {error.filename}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines) or type(error).__name__


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, too."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_MISTAKE, f"{self.prog}: error: {message} ({self.prog} -h)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="keras-vit",
        description="Train, evaluate, use and export Vision Transformers with Keras 3.",
        epilog="example: keras-vit train --data digits --output saved_models/mine",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_augment(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    add_export(commands, _add)
    add_benchmark(commands, _add)
    add_demo(commands, _add)
    _add_list(commands)
    _add_info(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction, name: str, help: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=f"example: keras-vit {example}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)
    return parser


def _add_data(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument(
        "--data", required=required, default="digits", metavar="DATA", help=_DATA_HELP
    )
    parser.add_argument("--data-dir", help="where prepared TensorFlow Datasets are")
    parser.add_argument(
        "--split-seed",
        type=int,
        help="of the held-out parts; default 0, or what the model was trained with",
    )
    parser.add_argument("--validation-fraction", type=float, help="share held out")
    parser.add_argument("--test-fraction", type=float, help="share held out")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave damaged files out"
    )


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "train",
        "train a classifier on images",
        "train --data photos/ --variant S/16 --output saved_models/photos",
    )
    parser.usage = "keras-vit train --data DATA --output DIR [options]"
    parser.set_defaults(run=run_train)
    _add_data(parser, required=True)
    parser.add_argument("--output", required=True, metavar="DIR", help="new folder")
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
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help=f"{', '.join(RECIPES)}; default: photos, for digits small_data",
    )
    model = parser.add_argument_group("changes to the variant")
    model.add_argument("--image-size", type=size, metavar="N|HxW", help="pixels")
    model.add_argument("--patch-size", type=size, metavar="N|HxW", help="pixels")
    for name in ("hidden-dim", "num-layers", "num-heads", "mlp-dim"):
        model.add_argument(f"--{name}", type=int, metavar="N")
    for name in ("dropout-rate", "attention-dropout-rate", "stochastic-depth-rate"):
        model.add_argument(f"--{name}", type=float, metavar="X", help="[0, 1)")
    model.add_argument("--pooling", metavar="KIND", help="token or mean")
    model.add_argument("--dtype", metavar="POLICY", help="such as mixed_bfloat16")
    recipe = parser.add_argument_group("changes to the recipe")
    for name in ("epochs", "batch-size", "seed"):
        recipe.add_argument(f"--{name}", type=int, metavar="N")
    for name in ("learning-rate", "warmup-epochs", "weight-decay", "label-smoothing"):
        recipe.add_argument(f"--{name}", type=float, metavar="X")
    recipe.add_argument(
        "--set",
        type=_setting,
        action="append",
        metavar="FIELD=VALUE",
        help="any other field of keras_vit.Recipe, such as layer_decay=0.75",
    )
    recipe.add_argument("--teacher", metavar="SOURCE", help="to distil from")
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
    parser.add_argument("--tensorboard", action="store_true", help="write its logs")
    parser.add_argument("--resume", action="store_true", help="continue a stopped run")
    parser.add_argument("--overwrite", action="store_true", help="replace a former run")


def _add_augment(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "augment",
        "draw images as a recipe changes them",
        "augment --data photos/ --recipe photos --output grid.png",
    )
    parser.set_defaults(run=run_augment)
    parser.add_argument("--data", default="digits", metavar="DATA", help=_DATA_HELP)
    parser.add_argument("--data-dir", help="where prepared TensorFlow Datasets are")
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        default="photos",
        help=f"one of {', '.join(RECIPES)}; default: photos",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="a .png file")
    parser.add_argument("--image-size", type=size, metavar="N|HxW", help="pixels")
    parser.add_argument("--rows", type=int, default=6, metavar="N", help="images")
    parser.add_argument("--columns", type=int, default=8, metavar="N", help="draws")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave damaged files out"
    )


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "evaluate",
        "measure the accuracy of a model on labelled images",
        "evaluate saved_models/digits/model.tflite --data digits",
    )
    parser.set_defaults(run=run_evaluate)
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    _add_data(parser, required=False)
    parser.add_argument(
        "--part", help="train, validation or test; default: test, else validation"
    )
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")


def _add_predict(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "predict",
        "name the most likely classes of pictures",
        "predict saved_models/digits/model.tflite examples/images/three.png --top 3",
    )
    parser.set_defaults(run=run_predict)
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image file")
    parser.add_argument("--top", type=int, default=5, metavar="K", help="default 5")


def _add_list(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "list",
        "list the named variants, or pretrained models by name",
        "list '*dinov2*' --license apache",
    )
    parser.set_defaults(run=run_list)
    parser.add_argument(
        "pattern",
        nargs="?",
        metavar="PATTERN",
        help="of pretrained models, with * and ?; default: the variants",
    )
    parser.add_argument("--family", metavar="NAME", help="such as SigLIP")
    parser.add_argument("--license", metavar="NAME", help="such as apache")
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="architectures without published weights, too",
    )


def _add_info(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "info", "describe a model", "info saved_models/digits")
    parser.set_defaults(run=run_info)
    parser.add_argument("model", metavar="MODEL", help=_MODEL_HELP)


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"must be FIELD=VALUE, received {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
