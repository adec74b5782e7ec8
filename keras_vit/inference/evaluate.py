"""How good a classifier is on labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.calibration_error import expected_calibration_error
from keras_vit.data.class_matching import class_numbers, rejecting_output
from keras_vit.data.image_data import ImageData
from keras_vit.data.prefetching import made_ahead, spare_cores
from keras_vit.data.trained_pictures import (
    ALL,
    PARTS,
    Judged,
    TrainedPictures,
    judged_again,
    read_trained_pictures,
    to_judge,
)
from keras_vit.inference.augmented import Views, augmented
from keras_vit.inference.evaluation import Evaluation
from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.inference.prediction_file import SEPARATOR
from keras_vit.inference.predictor import Predictor, find_model, load_predictor
from keras_vit.label_scores import label_scores
from keras_vit.preprocessing import Preprocessing


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

    Returns:
        An `Evaluation`: accuracy, loss and calibration error, and what the model says
        of each picture.

    Raises:
        FileNotFoundError: if there is no model at the path.
        ImportError: if the runtime for the file is not installed.
        ValueError: if model and data do not fit, as images with several labels and a
            model that chooses one class do not.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        found = keras_vit.evaluate("saved_models/photos", data)
        print(found.text())
        # accuracy ..., loss ..., calibration error ... on 4 validation images
        print(found.report("errors.html"))  # errors.html
        ```
    """
    predictor = augmented(load_predictor(model, preprocessing), augment)
    _check_labels(predictor, data)
    trained = _pictures_of_run(model)
    judged = to_judge(data, part, trained)

    def judge(other: Any) -> Evaluation:
        """Evaluate another model on the same images."""
        found = augmented(load_predictor(other), augment)
        _check_labels(found, data)
        run = _pictures_of_run(other)
        again = judged_again(judged, run)
        return _evaluated(other, found, data, again, run, batch_size, judge)

    return _evaluated(model, predictor, data, judged, trained, batch_size, judge)


def _check_labels(predictor: Predictor, data: ImageData) -> None:
    """Raise a ValueError if one of both has several labels and the other one not."""
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


def _evaluated(
    model: Any,
    predictor: Predictor,
    data: ImageData,
    judged: Judged,
    trained: TrainedPictures | None,
    batch_size: int,
    judge: Callable[[Any], Evaluation],
) -> Evaluation:
    """Run a model over the images that it is judged by."""
    images = judged.images
    numbers = class_numbers(predictor.class_names, data.class_names, repr(data.name))
    classes = predictor.class_names or data.class_names
    found = _probabilities(predictor, images, batch_size, classes, data.name)
    measured = _of_several if data.is_multi_label else _of_one
    scores, answers = measured(found, numbers, classes, predictor)
    return Evaluation(
        part=judged.name,
        num_images=len(images),
        num_trained_on=judged.num_trained_on,
        num_new=judged.num_new,
        answers=PictureAnswers(
            **answers,
            images=images,
            data=data,
            parts=_parts(judged, data, trained),
            model=model,
            preprocessing=predictor.preprocessing,
            trained=trained,
            judge=judge,
        ),
        **scores,
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
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an `Evaluation` says of images with one label each."""
    none = rejecting_output(classes, numbers)
    rows: list[tuple[np.ndarray, ...]] = []
    for probabilities, given in found:
        labels, scores = numbers[given], predictor.scores(probabilities)
        correct = probabilities[np.arange(len(labels)), labels]
        losses = -np.log(np.maximum(correct, 1e-12))
        kept = probabilities.astype("float32")  # Of many classes these are large.
        ranks, answers = _ranks(scores, labels), scores.argmax(axis=1)
        confidences = probabilities[np.arange(len(labels)), answers]
        is_none = answers == none
        rows.append((labels, kept, answers, ranks, losses, confidences, is_none))
    labels, kept, answers, rank, loss, confidences, rejected = (
        np.concatenate(column) for column in zip(*rows, strict=True)
    )
    measured = {
        "accuracy": float(np.mean(rank == 0)),
        "loss": float(np.mean(loss)),
        "calibration_error": expected_calibration_error(confidences, rank == 0),
        "top5_accuracy": float(np.mean(rank < 5)) if len(classes) > 5 else None,
        "rejected": None if none is None else float(rejected.mean()),
        "classes_without_images": _missing(classes[:none], set(labels.tolist())),
    }
    return measured, {
        "class_names": tuple(classes),
        "labels": labels,
        "probabilities": kept,
        "answers": answers,
        "rejecting": none,
    }


def _of_several(
    found: Iterator[tuple[np.ndarray, np.ndarray]],
    numbers: np.ndarray,
    classes: Sequence[str],
    predictor: Predictor,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an `Evaluation` says of images with several labels.

    Of classes of the model that the data does not have nothing is known.
    """
    rows = [(probabilities[:, numbers], labels) for probabilities, labels in found]
    probabilities, labels = (np.concatenate(x) for x in zip(*rows, strict=True))
    names = tuple(classes[int(i)] for i in numbers)
    limits = np.asarray(predictor.thresholds)[numbers]
    scores, accuracy, loss = label_scores(names, labels, probabilities, limits)
    shown = set(numbers[labels.any(axis=0)].tolist())
    measured = {
        "accuracy": accuracy,
        "loss": loss,
        "calibration_error": expected_calibration_error(
            probabilities.ravel(), labels.ravel()
        ),
        "classes_without_images": _missing(classes, shown),
        "labels": scores,
    }
    return measured, {
        "class_names": names,
        "labels": labels.astype(bool),
        "probabilities": probabilities.astype("float32"),
        "answers": probabilities >= limits,
        "thresholds": limits,
    }


def _parts(
    judged: Judged, data: ImageData, trained: TrainedPictures | None
) -> np.ndarray | None:
    """Return the part of each image, str (N,); None if all are of one."""
    contents = getattr(judged.images, "content", None)
    if trained is not None and trained.parts and contents is not None:
        found = np.full(len(contents), "new since", dtype="U10")
        for name in reversed(PARTS):  # What is in training, too, counts there.
            found[trained.are(contents, name)] = name
    elif judged.name == ALL:
        sizes = [len(part) for part in data.parts.values()]
        found = np.repeat([*data.parts], sizes)
    else:
        return None
    return found if len(np.unique(found)) > 1 else None


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
