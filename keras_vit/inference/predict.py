"""The most likely classes of pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.checks import check_value
from keras_vit.inference.augmented import Views, augmented
from keras_vit.inference.predictor import Predictor, as_pictures, load_predictor
from keras_vit.pages.in_notebook import InNotebook, note
from keras_vit.pages.parts import bar, cell, name_cell, number_cell, table
from keras_vit.preprocessing import Preprocessing

TOP = 5  # classes, if nothing else is asked for
_MOST_SHOWN = 20  # pictures in a notebook


@dataclass(frozen=True, slots=True)
class Prediction(InNotebook):
    """One class that a model considers.

    Args:
        class_name: its name, or its number if the model has no names.
        index: its number, from 0.
        probability: between 0 and 1.

    Example:
        ```python
        [[best, second]] = keras_vit.predict("saved_models/photos", ["cat.jpg"])
        best  # Prediction(class_name=..., index=..., probability=...)
        best.probability >= second.probability  # True
        ```
    """

    class_name: str
    index: int
    probability: float

    def _notebook(self) -> Iterator[str]:
        yield _bars("probability", [self])


class Predictions(list[list[Prediction]], InNotebook):
    """The classes of each picture, which a notebook shows as bars.

    Args:
        found: of each picture its classes, the most likely first.
        names: of the pictures, in the same order.
    """

    def __init__(
        self, found: Iterable[list[Prediction]], names: Sequence[str] = ()
    ) -> None:
        super().__init__(found)
        # A name stays with its picture where the list is sorted or cut.
        self._named = list(zip(self, names, strict=False))

    def _notebook(self) -> Iterator[str]:
        names = {id(classes): name for classes, name in self._named}
        for number, classes in enumerate(self[:_MOST_SHOWN]):
            name = names.get(id(classes), f"picture {number}")
            yield _bars(name, classes) if classes else note(f"{name}: no class")
        if len(self) > _MOST_SHOWN:
            yield note(f"and {len(self) - _MOST_SHOWN:,} more pictures")


def _bars(caption: str, classes: Sequence[Prediction]) -> str:
    """Return probabilities as a table with bars."""
    rows = [
        (
            name_cell(one.class_name),
            number_cell(one.probability, f"{one.probability:.1%}"),
            cell(bar(one.probability)),
        )
        for one in classes
    ]
    return table(caption, ("class", "probability", ""), rows)


def predict(
    model: keras.Model | str | Path | Predictor,
    images: Sequence[Any] | np.ndarray,
    *,
    top: int | None = None,
    batch_size: int = 32,
    preprocessing: Preprocessing | None = None,
    skip_unreadable: bool = False,
    augment: Views | None = None,
) -> list[list[Prediction]]:
    """Classify pictures of any size; preprocessing and class names come from the model.

    Args:
        model: a Keras model; or the path of a `.keras` file, a file or folder of
            `export`, or the output folder of `train`.
        images: paths, PIL images or arrays (H, W) or (H, W, C), mixed as you like;
            values as `preprocessing.value_range` says, [0, 255] if nothing else is set.
        top: number of classes for each picture, at least 1. Default: 5; of a model for
            several classes per picture all that are there, and no other.
        batch_size: pictures per call of the model. Default 32.
        preprocessing: takes the place of the model's own.
        skip_unreadable: whether a picture that cannot be read gets no class, and a
            warning names it, instead of ending the work. Default False.
        augment: "flip" for the mean probabilities of each picture and its mirror image,
            where that means the same; "crops" for those of the centre and the corners
            of a larger picture, mirrored too, at ten times the work. Default None: the
            picture alone.

    Returns:
        For each picture its classes, the most likely first. A model with one output
        has two, no and yes (numbers 0 and 1): yes comes first above a probability of
        0.5, or from its own threshold on, `model.thresholds`. If yes alone has a name,
        it is the only one. Of a model for several classes per picture they are those
        from whose threshold on the probability is: perhaps none.

    Raises:
        FileNotFoundError: if a model or picture does not exist.
        ImportError: if the runtime for the file is not installed.
        OSError: if a picture cannot be read.
        ValueError: if the model cannot be used for classification.

    Example:
        ```python
        pictures = ["cat.jpg", "dog.jpg"]
        found = keras_vit.predict("saved_models/photos", pictures, top=1)
        for name, [best] in zip(pictures, found):
            print(f"{name}: {best.class_name}, {best.probability:.0%}")
        len(found), len(found[0])  # (2, 1)
        ```
    """
    results: list[list[Prediction]] = []
    for found in each_prediction(
        model,
        images,
        top,
        batch_size,
        preprocessing,
        keep_going=skip_unreadable,
        augment=augment,
    ):
        if isinstance(found, Exception):
            warnings.warn(f"Picture {len(results)} is left out: {found}", stacklevel=2)
        results.append([] if isinstance(found, Exception) else found)
    return Predictions(results, _names(images))


def _names(images: Sequence[Any] | np.ndarray) -> list[str]:
    """Return how a notebook calls pictures: by their paths where they have some."""
    return [
        str(one) if isinstance(one, (str, Path)) else f"picture {number}"
        for number, one in enumerate(images)
    ]


def each_prediction(
    model: keras.Model | str | Path | Predictor,
    images: Sequence[Any] | np.ndarray,
    top: int | None = None,
    batch_size: int = 32,
    preprocessing: Preprocessing | None = None,
    *,
    keep_going: bool,
    augment: Views | None = None,
) -> Iterator[list[Prediction] | Exception]:
    """Yield what `predict` returns for each picture, batch by batch.

    Args:
        model: as in `predict`, and so are the next four.
        images: one or many.
        top: number of classes.
        batch_size: pictures per call of the model.
        preprocessing: takes the place of the model's own.
        keep_going: whether a picture that cannot be read gives its error, instead of
            raising it.
        augment: views of each picture. Default None.
    """
    check_value(top is None or top >= 1, "top", top, "at least 1")
    check_value(batch_size >= 1, "batch_size", batch_size, "at least 1")
    pictures = as_pictures(images)
    predictor = augmented(load_predictor(model, preprocessing), augment)
    for rows in predictor.outputs_in_batches(pictures, batch_size, keep_going):
        for row in rows:
            if isinstance(row, Exception):
                yield row
                continue
            if np.ndim(row) != 1:
                raise ValueError(
                    "Only a classifier can predict classes, received a model with "
                    f"outputs of shape {(None, *np.shape(row))}. Build it with "
                    "num_classes."
                )
            yield most_likely(predictor.probabilities(row[None])[0], top, predictor)


def most_likely(
    row: np.ndarray, top: int | None, predictor: Predictor
) -> list[Prediction]:
    """Return the most likely classes of the probabilities (K,) of one picture.

    Args:
        row: the probabilities.
        top: how many; None: `TOP`, or those that are there where there may be several.
        predictor: says what they mean.
    """
    order = np.argsort(-predictor.scores(row), kind="stable")
    if top is None and predictor.is_multi_label:
        order = order[predictor.chosen(row)[order]]
    else:
        order = order[: top or TOP]
    return [
        Prediction(predictor.class_name(i), i, float(row[i])) for i in order.tolist()
    ]
