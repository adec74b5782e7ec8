"""Read and write `.keras` files."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any, cast

import keras

from keras_vit.files import replacing


def load_keras(path: str | Path) -> keras.Model:
    """Load a `.keras` file without its optimizer.

    Raises:
        ValueError: if the file is damaged or no Keras model.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{str(path)!r} could not be loaded: it is no .keras file, or a damaged "
            "one."
        )
    try:
        return cast(keras.Model, keras.models.load_model(path, compile=False))
    except Exception as error:  # A damaged zip or config raises many types.
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ValueError(f"{str(path)!r} could not be loaded: {reason}") from error


def save_model(model: keras.Model, path: str | Path) -> None:
    """Write a `.keras` file without the optimizer, complete or not at all.

    The optimizer's state would make the file three times as large.

    Raises:
        OSError: if the file cannot be written.
    """
    if model.compiled:
        model = plain_copy(model)
    # Several processes cannot make a twin, which one of them alone would wait for.
    with replacing(path) as temporary:
        model.save(temporary)


def plain_copy(model: keras.Model, **changes: Any) -> keras.Model:
    """Return a model with the same weights, without optimizer and LoRA factors.

    Args:
        model: stays as it is.
        changes: of its config.
    """
    copy: Any = type(model).from_config({**model.get_config(), **changes})
    if len(copy.weights) == len(model.weights):
        copy.set_weights(model.get_weights())
        return copy
    with tempfile.TemporaryDirectory() as folder:
        # Keras writes the sum of a kernel and its factors.
        path = Path(folder, "model.weights.h5")
        model.save_weights(path)
        copy.load_weights(path)
    return copy
