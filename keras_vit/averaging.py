"""The mean of the weights of several models: a soup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vit.keras_file import load_keras
from keras_vit.lora import weights_and_values
from keras_vit.model_copy import plain_copy
from keras_vit.model_facts import copy_facts

MODEL_FILE = "model.keras"
BEST_FOLDER = "best"  # in the output folder of `train(keep=...)`


def average(models: Any) -> Any:
    """Return a model whose weights are the mean of those of several models.

    Models that were fine-tuned from the same start, with other seeds, learning rates or
    data orders, or the best epochs of one run, which `train(..., keep=5)` keeps: their
    mean is often better than the best of them, and costs nothing at inference. Models
    that were trained from different random weights have no use for it.

    Args:
        models: two or more of one architecture with the same classes: Keras models,
            `.keras` files or output folders of `train`, whose best model counts; or one
            output folder of `train(..., keep=5)`, for the epochs that it kept. One of
            them is in memory at a time.

    Returns:
        A new model, with preprocessing and class names of the first, the mean of the
        thresholds if there are some, LoRA factors added to the kernels.

    Raises:
        FileNotFoundError: if there is no model at a path.
        TypeError: if something is neither a model nor a path.
        ValueError: if there are fewer than two models, or they differ in architecture,
            classes or preprocessing, or have weights that are no floats.

    Example:
        >>> models = [keras_vit.ViT.from_variant("test", num_classes=3) for _ in "ab"]
        >>> keras_vit.average(models).output_shape
        (None, 3)

    Reference: arXiv:2203.05482, section 2 (uniform soup).
    """
    first: Any = None
    sums: list[np.ndarray] = []
    thresholds: list[Any] = []
    count = 0
    for name, model in _opened(models):
        _check_distances(model, name)
        if first is None:
            first = plain_copy(model)
            copy_facts(model, first)
            sums = [np.zeros(tuple(weight.shape)) for weight in first.weights]
        else:
            _check_same(first, model, name)
        thresholds.append(getattr(model, "thresholds", None))
        values = [value for _, value in weights_and_values(model, merges=True)]
        for weight, total, value in zip(first.weights, sums, values, strict=True):
            if "float" not in keras.backend.standardize_dtype(weight.dtype):
                raise ValueError(
                    f"Models to average have weights of floating point, {name} has "
                    f"{weight.path!r} of type {weight.dtype}. Average the models "
                    "before they are quantized."
                )
            total += ops.convert_to_numpy(ops.cast(value, "float32"))
        count += 1
    if count < 2:
        raise ValueError(
            f"A mean needs two models or more, received {count}. Pass a list of "
            "models or paths, or the output folder of train(..., keep=5)."
        )
    for weight, total in zip(first.weights, sums, strict=True):
        weight.assign(total / count)
    if known := [one for one in thresholds if one is not None]:
        first.thresholds = tuple(np.mean(known, axis=0).tolist())
    return first


def _opened(models: Any) -> Iterator[tuple[str, keras.Model]]:
    if isinstance(models, (str, Path)):
        models = _kept(Path(models).expanduser())
    if not isinstance(models, Sequence):
        raise TypeError(
            "average takes a list of models or paths, or one output folder of train, "
            f"received {type(models).__name__}."
        )
    for number, model in enumerate(models):
        if isinstance(model, keras.Model):
            yield f"model {number}", model
        elif isinstance(model, (str, Path)):
            path = Path(model).expanduser()
            path = path / MODEL_FILE if path.is_dir() else path
            if not path.is_file():
                raise FileNotFoundError(f"No model {str(path)!r}. Check the path.")
            yield repr(str(path)), load_keras(path)
        else:
            raise TypeError(
                "average takes Keras models and paths of .keras files, received "
                f"{type(model).__name__}."
            )


def _kept(folder: Path) -> list[Path]:
    """Return the epochs that a run kept.

    Raises:
        FileNotFoundError: if there are none.
    """
    found = sorted((folder / BEST_FOLDER).glob("*.keras"))
    if not found:
        raise FileNotFoundError(
            f"{str(folder)!r} must hold the best epochs of a run in {BEST_FOLDER}/, "
            "received a path without them. Train with keep=5 (--keep 5), or pass a "
            "list of files."
        )
    return found


def _check_distances(model: Any, name: str) -> None:
    """Refuse a model that knows distances between its features, which have no mean."""
    if getattr(model.config, "rejection_dim", None) is not None:
        raise ValueError(
            f'A threshold of "none of these" fits one model, and {name} has one. '
            "Average the models without it, keras_vit.changed(model, rejection_dim="
            "None), and calibrate the mean: calibrate(model, data, none_of_these=0.05)."
        )


def _check_same(first: Any, model: Any, name: str) -> None:
    """Raise a ValueError if two models differ in more than their weights."""
    shapes = [
        [(w.path, tuple(w.shape)) for w, _ in weights_and_values(m, merges=False)]
        for m in (first, model)
    ]
    facts = {
        "architecture": _config(first) == _config(model) and shapes[0] == shapes[1],
        "class_names": _fact(first, "class_names") == _fact(model, "class_names"),
        "preprocessing": _fact(first, "preprocessing") == _fact(model, "preprocessing"),
    }
    different = [fact for fact, is_same in facts.items() if not is_same]
    if different:
        raise ValueError(
            f"Models to average must be the same but for their weights, {name} has "
            f"another {' and '.join(different)} than the first. Leave it out, or train "
            "all of them in the same way."
        )


def _config(model: Any) -> Any:
    """Return the options of a ViT that decide what it computes; shapes for others."""
    config = getattr(model, "config", None)
    return (
        None
        if config is None
        else config.changed(
            dropout_rate=0.0, attention_dropout_rate=0.0, stochastic_depth_rate=0.0
        )
    )


def _fact(model: Any, name: str) -> Any:
    value = getattr(model, name, None)
    return tuple(value) if isinstance(value, list) else value
