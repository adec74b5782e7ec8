"""Parse the command line, run one command, turn mistakes into one line."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from keras_vit.cli.augment import add_augment
from keras_vit.cli.average import add_average
from keras_vit.cli.benchmark import add_benchmark
from keras_vit.cli.calibrate import add_calibrate
from keras_vit.cli.check import add_check
from keras_vit.cli.demo import add_demo
from keras_vit.cli.evaluate import add_evaluate
from keras_vit.cli.explain import add_explain
from keras_vit.cli.export import add_export
from keras_vit.cli.info import add_info
from keras_vit.cli.list import add_list
from keras_vit.cli.predict import add_predict
from keras_vit.cli.train import add_train
from keras_vit.training.interruption import EXIT_CODE, Termination, TrainingInterrupted

EXIT_OK = 0
EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_STOPPED = EXIT_CODE  # by SIGTERM, with the state saved

_COMMANDS = (
    *(add_check, add_train, add_augment, add_evaluate, add_predict),
    *(add_explain, add_export),
    *(add_average, add_calibrate, add_benchmark, add_demo, add_list, add_info),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `keras-vit` and return its exit code.

    It is 0, 2 for a user's mistake, or 3 where some of many pictures were left out.

    Args:
        arguments: what stands after `keras-vit`. Default: `sys.argv[1:]`.
    """
    options = _parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _terminated_in_order(), _warnings_as_lines():
            return options.run(options) or EXIT_OK
    except TrainingInterrupted as error:
        print(f"keras-vit: {error}", file=sys.stderr)
        return EXIT_STOPPED
    except KeyboardInterrupt:
        message = "interrupted"
        if options.command == "train":
            message += "; the same command goes on with the run"
        elif options.command == "predict" and options.output:
            message += "; the same command goes on with the file"
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


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Let SIGTERM unwind what runs: no child process and no half a file stays.

    Training sets a handler of its own meanwhile. Other threads than the main one can
    set none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    termination = Termination()
    former = signal.signal(signal.SIGTERM, termination)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former or signal.SIG_DFL)
    if termination.requested:
        # A library swallowed it: what was done is whole, and the exit code tells.
        raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print a warning as an error is printed, without a line of source, and once."""
    told: set[str] = set()

    def formatted(message: Warning | str, *_: Any, **__: Any) -> str:
        text = str(message).strip()
        if text in told:
            return ""
        told.add(text)
        return f"keras-vit: warning: {text}\n"

    former = warnings.formatwarning
    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = former


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename and str(error.filename) not in text:
            text = f"{text}: {error.filename}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines) or type(error).__name__


class _Parser(ArgumentParser):
    """A parser whose mistakes are one line, too."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_MISTAKE, f"{self.prog}: error: {message} ({self.prog} -h)\n")


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog="keras-vit",
        description="Train, evaluate, use and export Vision Transformers with Keras 3.",
        epilog="example: keras-vit train --data digits --output saved_models/mine",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    return parser
