"""Read and write `.keras` files.

A `ViT` has preprocessing, class names and thresholds in its config. Of another model
they stand in the file, beside what Keras writes, which reads only its own.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import keras

from keras_vit.files import replacing
from keras_vit.model_copy import plain_copy
from keras_vit.preprocessing import Preprocessing

FACTS_NAME = "keras_vit.json"


def load_keras(path: str | Path) -> keras.Model:
    """Load a `.keras` file without its optimizer.

    Whatever its class, the model has the attributes `preprocessing`, `class_names` and
    `thresholds` that it had when `save_keras` wrote the file.

    Raises:
        ValueError: if the file is damaged or no Keras model.
    """
    if not _is_zip(path):
        raise ValueError(
            f"{str(path)!r} could not be loaded: it is no .keras file, or a damaged "
            "one."
        )
    try:
        model = cast(keras.Model, keras.models.load_model(path, compile=False))
        _read_facts(model, Path(path))
        return model
    except Exception as error:  # A damaged zip or config raises many types.
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ValueError(f"{str(path)!r} could not be loaded: {reason}") from error


def _is_zip(path: str | Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # Its last record says that there are several disks.
        return False


def save_keras(model: keras.Model, path: str | Path) -> None:
    """Write a `.keras` file without the optimizer, complete or not at all.

    The optimizer's state would make the file three times as large. With the model go
    its preprocessing, class names and thresholds.

    Raises:
        OSError: if the file cannot be written.
    """
    facts = _facts(model)
    if model.compiled:
        model = plain_copy(model)
    # Several processes cannot make a twin, which one of them alone would wait for.
    with replacing(path) as temporary:
        model.save(temporary)
        if facts:
            with zipfile.ZipFile(temporary, "a") as file:
                file.writestr(FACTS_NAME, json.dumps(facts, indent=1) + "\n")


def _facts(model: keras.Model) -> dict[str, Any]:
    """Return what a model says of its images that is not in its config."""
    if "preprocessing" in model.get_config():
        return {}
    preprocessing: Any = getattr(model, "preprocessing", None)
    facts = {"preprocessing": preprocessing and asdict(preprocessing)}
    for name in ("class_names", "thresholds"):
        value = getattr(model, name, None)
        facts[name] = value and list(value)
    return {name: value for name, value in facts.items() if value}


def _read_facts(model: Any, path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        if FACTS_NAME not in file.namelist():
            return
        facts = json.loads(file.read(FACTS_NAME))
    if "preprocessing" in facts:
        model.preprocessing = Preprocessing(**facts["preprocessing"])
    for name in ("class_names", "thresholds"):
        if name in facts:
            setattr(model, name, tuple(facts[name]))
