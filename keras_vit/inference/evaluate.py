"""How good a classifier is on labelled images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.calibration_error import expected_calibration_error
from keras_vit.data.class_matching import NONE_OF_THESE, class_numbers, rejecting_output
from keras_vit.data.image_data import ImageData
from keras_vit.data.prefetching import made_ahead, spare_cores
from keras_vit.data.trained_pictures import (
    ALL,
    TrainedPictures,
    read_trained_pictures,
    to_judge,
)
from keras_vit.inference.augmented import Views, augmented
from keras_vit.inference.prediction_file import SEPARATOR
from keras_vit.inference.predictor import Predictor, find_model, load_predictor
from keras_vit.label_scores import LabelScores, label_scores
from keras_vit.preprocessing import Preprocessing

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How good a classifier is on one part of a data set.

    Args:
        part: "train", "validation", "test", or "all".
        num_images: in that part.
        accuracy: share of the images whose most likely class is the right one; of
            images with several labels, of those whose labels are all right, and no
            other.
        loss: mean cross-entropy, nats; of several labels the mean over the classes.
        calibration_error: expected calibration error (arXiv:1706.04599): mean distance
            of the probability of the most likely class from how often it is right, in
            15 bins by that probability; of several labels that of each yes from how
            often it is. None if it was not measured.
        rejected: share of the images of which the model says "none of these", which
            are counted as wrong; None if it has no such answer.
        top5_accuracy: share of the images whose class is among the five most likely;
            None if there are no more than five classes.
        num_trained_on: how many of the images the model was trained on; None if that is
            not known.
        num_new: how many of them were no part of the data of its run.
        classes_without_images: those of the model that had no picture in the part, and
            so count nothing in the accuracy.
        labels: more about images with several labels; None if they have one.
    """

    part: str
    num_images: int
    accuracy: float
    loss: float
    calibration_error: float | None = None
    rejected: float | None = None
    top5_accuracy: float | None = None
    num_trained_on: int | None = None
    num_new: int = 0
    classes_without_images: tuple[str, ...] = ()
    labels: LabelScores | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is known, as JSON values."""
        return {k: v for k, v in asdict(self).items() if v not in (None, ())}

    def text(self) -> str:
        """Return one line for people, and one per class if images have several."""
        top5, labels = self.top5_accuracy, self.labels
        error = self.calibration_error
        several = "" if labels is None else f"{labels.text()}, all labels right: "
        table = "" if labels is None else f"\n{labels.table()}"
        return (
            f"{several}accuracy {self.accuracy:.4f}"
            f"{'' if top5 is None else f', top-5 {top5:.4f}'}, loss {self.loss:.4f}"
            f"{'' if error is None else f', calibration error {error:.4f}'} on "
            f"{self.num_images} {'' if self.part == ALL else f'{self.part} '}images"
            f"{self._rejects()}{self._about_training()}{self._without()}{table}"
        )

    def _rejects(self) -> str:
        share = self.rejected
        return "" if share is None else f", {share:.1%} rejected as {NONE_OF_THESE!r}"

    def _about_training(self) -> str:
        if self.num_trained_on is None:
            return ""
        if self.num_trained_on and self.part != "train":
            return f"; the model was TRAINED ON {self.num_trained_on} of them"
        if self.num_new == self.num_images:
            return ", none of which the model was trained on"
        new = f", {self.num_new} of them new since the model was trained"
        return new if self.num_new else ""

    def _without(self) -> str:
        names = self.classes_without_images
        listed = ", ".join(names[:_MOST_NAMED])
        more = ", ..." if len(names) > _MOST_NAMED else ""
        return f"; no image of {len(names)} classes: {listed}{more}" if names else ""


def evaluate(
    model: keras.Model | str | Path | Predictor,
    data: ImageData,
    *,
    part: str | None = None,
    batch_size: int = 64,
    preprocessing: Preprocessing | None = None,
    augment: Views | None = None,
) -> Evaluation:
    """Measure a classifier on one part of a data set; each image counts once.

    Args:
        model: as in `predict`: a Keras model or any saved or exported form.
        data: from `load_data`. Classes are matched by name; data may have fewer of
            them, and in another order, than a model with class names.
        part: "train", "validation", "test", or "all" of them. Default: what the model
            was not trained on. For the output folder of a run, or a file in it, that
            is found by the contents of the pictures, wherever they are now: the run's
            test part, else its validation part, with what is new; of other data all,
            unless its folders hold a part out. Where no run is known: test if there is
            one, else validation, else train.
        batch_size: images per call of the model. Default 64.
        preprocessing: takes the place of the model's own.
        augment: views of each picture over which probabilities are averaged, as in
            `predict`. Default None: the picture alone.

    Raises:
        ValueError: if model and data do not fit, as images with several labels and a
            model that chooses one class do not.
    """
    predictor = augmented(load_predictor(model, preprocessing), augment)
    if data.is_multi_label and not predictor.is_multi_label:
        raise ValueError(
            f"Images of {data.name!r} have several labels, and {predictor.name!r} "
            "chooses one class per image (softmax). Pass a model that was trained or "
            "fitted on such data; or set model.thresholds, one for each class, if its "
            "logits are those of sigmoids."
        )
    joined = [name for name in data.class_names if SEPARATOR in name]
    if predictor.is_multi_label and joined and not data.is_multi_label:
        raise ValueError(
            f"{predictor.name!r} names several labels per image, and {data.name!r} was "
            f"opened with one, such as {joined[0]!r}. Open it with multi_label=True "
            "(--multi-label)."
        )
    judged = to_judge(data, part, _pictures_of_run(model))
    images = judged.images
    numbers = class_numbers(predictor.class_names, data.class_names, repr(data.name))
    classes = predictor.class_names or data.class_names
    found = _probabilities(predictor, images, batch_size, classes, data.name)
    measured = _of_several if data.is_multi_label else _of_one
    return Evaluation(
        part=judged.name,
        num_images=len(images),
        num_trained_on=judged.num_trained_on,
        num_new=judged.num_new,
        **measured(found, numbers, classes, predictor),
    )


def _probabilities(
    predictor: Predictor,
    images: Any,
    batch_size: int,
    classes: Sequence[str],
    where: str,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the probabilities of each batch, (B, classes), and its labels."""
    for pixels, labels in _batches(predictor, images, batch_size):
        outputs = np.asarray(predictor.run(pixels))
        probabilities = outputs
        if outputs.ndim == 2:  # A single output has two classes.
            probabilities = predictor.probabilities(outputs)
        if outputs.ndim != 2 or probabilities.shape[1] != len(classes):
            raise ValueError(
                f"The model must have one output per class, received outputs of shape "
                f"{outputs.shape} for {len(classes)} classes in {where!r}."
            )
        yield probabilities, labels


def _of_one(
    found: Iterator[tuple[np.ndarray, np.ndarray]],
    numbers: np.ndarray,
    classes: Sequence[str],
    predictor: Predictor,
) -> dict[str, Any]:
    """Return what an `Evaluation` says of images with one label each."""
    ranks, losses, confidences, shown = [], [], [], set()
    none = rejecting_output(classes, numbers)
    rejected: list[np.ndarray] = []
    for probabilities, given in found:
        labels = numbers[given]
        ranks.append(_ranks(predictor.scores(probabilities), labels))
        correct = probabilities[np.arange(len(labels)), labels]
        losses.append(-np.log(np.maximum(correct, 1e-12)))
        confidences.append(probabilities.max(axis=1))
        rejected.append(probabilities.argmax(axis=1) == none)
        shown.update(labels.tolist())
    rank, loss = np.concatenate(ranks), np.concatenate(losses)
    return {
        "accuracy": float(np.mean(rank == 0)),
        "loss": float(np.mean(loss)),
        "calibration_error": expected_calibration_error(
            np.concatenate(confidences), rank == 0
        ),
        "top5_accuracy": float(np.mean(rank < 5)) if len(classes) > 5 else None,
        "rejected": None if none is None else float(np.concatenate(rejected).mean()),
        "classes_without_images": _missing(classes[:none], shown),
    }


def _of_several(
    found: Iterator[tuple[np.ndarray, np.ndarray]],
    numbers: np.ndarray,
    classes: Sequence[str],
    predictor: Predictor,
) -> dict[str, Any]:
    """Return what an `Evaluation` says of images with several labels.

    Of classes of the model that the data does not have nothing is known.
    """
    rows = [(probabilities[:, numbers], labels) for probabilities, labels in found]
    probabilities, labels = (np.concatenate(x) for x in zip(*rows, strict=True))
    names = [classes[int(i)] for i in numbers]
    limits = np.asarray(predictor.thresholds)[numbers]
    scores, accuracy, loss = label_scores(names, labels, probabilities, limits)
    shown = set(numbers[labels.any(axis=0)].tolist())
    return {
        "accuracy": accuracy,
        "loss": loss,
        "calibration_error": expected_calibration_error(
            probabilities.ravel(), labels.ravel()
        ),
        "classes_without_images": _missing(classes, shown),
        "labels": scores,
    }


def _missing(classes: Sequence[str], shown: set[int]) -> tuple[str, ...]:
    return tuple(name for i, name in enumerate(classes) if i not in shown)


def _pictures_of_run(model: Any) -> TrainedPictures | None:
    """Return the pictures of the run that made a file, None if nothing says."""
    if not isinstance(model, (str, Path)):
        return None
    return read_trained_pictures(find_model(model).parent)


def _batches(predictor: Predictor, images: Any, batch_size: int) -> Iterator[Any]:
    """Yield images as the model takes them, and labels; threads prepare them ahead."""
    if predictor.pixel_size is None and predictor.views is None:
        for batch in images.batches(predictor.preprocessing, batch_size):
            yield np.asarray(batch[0]), np.asarray(batch[1])
        return
    # The model preprocesses, and takes pictures one at a time as sizes may differ; or
    # there are several views of each.
    images.check_values(predictor.preprocessing)
    pictures = made_ahead(predictor.prepare, images.pictures(), spare_cores())
    for picture, label in zip(pictures, images.labels, strict=True):
        yield picture[None], np.asarray([label])


def _ranks(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many classes are more likely than the right one, (B,)."""
    correct = probabilities[np.arange(len(labels)), labels][:, None]
    # A tie counts against the model unless the label comes first, as in argmax.
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    larger = probabilities > correct
    return (larger | ((probabilities == correct) & before)).sum(axis=1)
