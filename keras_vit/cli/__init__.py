"""The command line: `keras-vit`, or `python -m keras_vit`."""

from keras_vit.cli.command_line import main

__all__ = ["main"]
