"""Which class a map is for. K outputs."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from keras_vit.inference.predictor import Predictor


def target_of(predictor: Predictor, target: Any, count: int) -> int | None:
    """Return the number of the class that was asked for; None for the likeliest.

    Args:
        predictor: the classifier.
        target: number or name of a class, or None.
        count: K.

    Raises:
        ValueError: if there is no such class.
    """
    if target is None:
        return None
    names = predictor.class_names
    if isinstance(target, str) and target not in names and target.isdecimal():
        target = int(target)  # As the command line gives numbers.
    if isinstance(target, str):
        if target not in names:
            raise ValueError(
                f"target must be a class of the model, {list(names)[:10]}, received "
                f"target={target!r}."
            )
        return names.index(target)
    classes = num_classes_of(predictor, count)
    is_whole = isinstance(target, Integral) and not isinstance(target, bool)
    if not is_whole or not 0 <= int(target) < classes:
        raise ValueError(
            f"target must be the number of a class, from 0 to {classes - 1}, or its "
            f"name, received target={target!r}."
        )
    return int(target)


def num_classes_of(predictor: Predictor, count: int) -> int:
    """Return the number of classes of K outputs: one may say no and yes."""
    return predictor.probabilities(np.zeros((1, count))).shape[1]


def class_of(predictor: Predictor, target: Any, row: np.ndarray) -> int:
    """Return the number of the class of a map, by the outputs (K,) of a picture."""
    found = target_of(predictor, target, len(row))
    return answer_of(predictor, row) if found is None else found


def answer_of(predictor: Predictor, row: np.ndarray) -> int:
    """Return the number of the class that `predict` names first, by outputs (K,)."""
    return int(predictor.scores(predictor.probabilities(row[None]))[0].argmax())
