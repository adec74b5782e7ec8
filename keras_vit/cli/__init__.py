"""The command line: `keras-vit`, or `python -m keras_vit`."""

from keras_vit.cli.main import main

__all__ = ["main"]
