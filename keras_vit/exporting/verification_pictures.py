"""The pictures that a file and its model are compared on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from keras_vit.data.class_matching import class_numbers
from keras_vit.data.images import Images, check_labels, multi_hot
from keras_vit.data.sequences import by_position
from keras_vit.data.sources.digits import load_digits
from keras_vit.data.sources.picture_files import image_files
from keras_vit.output_activation import thresholds_of

Source = Literal["evaluation", "images", "calibration", "digits"]
NUM_DEFAULT_IMAGES = 16


class LazyPictures(Sequence):
    """Pictures that are read when they are asked for: a data set may exceed the memory.

    Args:
        count: number of pictures.
        read: from the number of a picture to the picture.
    """

    def __init__(self, count: int, read: Callable[[int], Any]) -> None:
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        numbers = range(self._count)[index]
        if isinstance(numbers, range):
            return LazyPictures(len(numbers), lambda i: self._read(numbers[i]))
        return self._read(numbers)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Pictures that a file and its model are compared on.

    Args:
        source: which argument of `export` they are from; "digits": from none of them.
        pictures: of any form and size.
        labels: class of each picture, (N,), or 0 and 1 where it may have several,
            (N, classes), if known.
    """

    source: Source
    pictures: Sequence[Any]
    labels: np.ndarray | None = None


def choose_pictures(
    model: keras.Model,
    evaluation: Any,
    images: Sequence[Any] | str | Path | None,
    calibration: np.ndarray | None,
) -> Shown:
    """Return the pictures that say most about how good a file is.

    Raises:
        ValueError: if there are none, or the labels do not fit the model.
    """
    if evaluation is not None and images is not None:
        raise ValueError(
            "The file is verified on evaluation or on images, received both. Leave "
            "images (--images) out: evaluation (--data) has pictures and labels."
        )
    if evaluation is not None:
        pictures, labels = _labelled(model, evaluation)
        found = Shown(source="evaluation", pictures=pictures, labels=labels)
    elif isinstance(images, (str, Path)):
        found = Shown(source="images", pictures=image_files([images]))
    elif images is not None:
        found = Shown(source="images", pictures=by_position(images, "Images"))
    elif calibration is not None:
        found = Shown(source="calibration", pictures=list(calibration))
    else:
        digits = load_digits()[0]
        every = len(digits) // NUM_DEFAULT_IMAGES
        chosen = list(digits[::every][:NUM_DEFAULT_IMAGES])
        found = Shown(source="digits", pictures=chosen)
    if not len(found.pictures):
        raise ValueError(
            f"{found.source} must hold at least one picture to verify on, received "
            "none. Pass pictures like those in use."
        )
    return found


def _labelled(model: keras.Model, evaluation: Any) -> tuple[Sequence[Any], np.ndarray]:
    # Data of several parts: that which says how good a model is.
    held_out = getattr(evaluation, "held_out", None)
    part = evaluation if held_out is None else held_out[1]
    if isinstance(part, Images):
        pictures, labels = _lazily(part), part.labels
    elif hasattr(part, "pictures") and hasattr(part, "labels"):
        pictures, labels = list(part.pictures()), part.labels
    elif isinstance(part, (tuple, list)) and len(part) == 2:
        pictures, labels = by_position(part[0], "Images"), part[1]
    else:
        raise TypeError(
            "evaluation must be what load_data returns, one of its parts or a tuple "
            f"(images, labels), received {type(evaluation).__name__}. Pass pictures "
            "without labels as images."
        )
    names = getattr(evaluation, "class_names", None)
    if getattr(part, "is_multi_label", False) or getattr(labels, "ndim", 1) == 2:
        return pictures, _several_labels(model, labels, len(pictures), names)
    if names:
        order = class_numbers(getattr(model, "class_names", None), names)
        labels = order[check_labels(labels, len(pictures), len(names))]
    return pictures, check_labels(labels, len(pictures), _num_classes(model))


def _several_labels(
    model: keras.Model, labels: Any, count: int, names: Sequence[str] | None
) -> np.ndarray:
    """Return labels, 0 or 1, (N, classes), in the order of the model."""
    _num_classes(model)  # Refuses a model without a head.
    num_outputs, labels = int(model.output_shape[-1]), np.asarray(labels)
    if labels.shape[1] == 1:  # One class, which is there or is not.
        return check_labels(labels[:, 0].astype("int64"), count, 2)
    if thresholds_of(model) is None:
        raise ValueError(
            "evaluation has images with several labels, and the model chooses one "
            "class per image (softmax). Pass images with one label each; or set "
            "model.thresholds, one for each class, if its logits are those of sigmoids."
        )
    if names is not None:
        order = class_numbers(getattr(model, "class_names", None), names)
        if len(order) < num_outputs:
            lacks = num_outputs - len(order)
            raise ValueError(
                "evaluation must say of each class whether it is there, received "
                f"labels without {lacks} of {num_outputs} classes of the model. Pass "
                "its data, with all of its classes."
            )
        labels = labels[:, np.argsort(order)]
    return multi_hot(labels, count, [str(i) for i in range(num_outputs)])


def _lazily(images: Images) -> LazyPictures:
    return LazyPictures(len(images), lambda i: images.read(int(images.indices[i])))


def _num_classes(model: keras.Model) -> int:
    config: Any = getattr(model, "config", None)
    if config is not None and config.num_classes is None:
        raise ValueError(
            "evaluation is for classifiers, received a model without a head. Leave it "
            "out; images shows how close the features are."
        )
    return max(2, int(model.output_shape[-1]))  # A single one says yes or no.
