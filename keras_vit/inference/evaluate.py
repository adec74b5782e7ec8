"""How good a classifier is on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.data.image_data import ImageData
from keras_vit.inference.predictor import Predictor, load_predictor
from keras_vit.preprocessing import Preprocessing


def evaluate(
    model: keras.Model | str | Path | Predictor,
    data: ImageData,
    *,
    part: str | None = None,
    batch_size: int = 64,
    preprocessing: Preprocessing | None = None,
) -> dict[str, Any]:
    """Measure a classifier on one part of a data set; each image counts once.

    Args:
        model: as in `predict`: a Keras model or any saved or exported form.
        data: from `load_data`. If both model and data have class names, they must be
            the same.
        part: "train", "validation" or "test". Default: test if there is one, else
            validation, else train.
        batch_size: images per call of the model. Default 64.
        preprocessing: takes the place of the model's own.

    Returns:
        part, num_images, accuracy, loss (cross-entropy in nats), and top5_accuracy if
        there are more than five classes.

    Raises:
        ValueError: if model and data do not fit.
    """
    if isinstance(model, Predictor):
        predictor = model
    else:
        predictor = load_predictor(model, preprocessing)
    if predictor.class_names and predictor.class_names != data.class_names:
        raise ValueError(
            f"Model and data must have the same classes in the same order, received "
            f"{_short(predictor.class_names)} in {predictor.name!r} and "
            f"{_short(data.class_names)} in {data.name!r}."
        )
    name, images = data.held_out if part is None else (part, data.part(part))
    ranks, losses = [], []
    for pixels, labels in _batches(predictor, images, batch_size):
        outputs = np.asarray(predictor.run(pixels))
        if outputs.ndim != 2 or outputs.shape[1] != data.num_classes:
            raise ValueError(
                f"The model must have one output per class, received outputs of shape "
                f"{outputs.shape} for {data.num_classes} classes in {data.name!r}."
            )
        probabilities = predictor.probabilities(outputs)
        correct = probabilities[np.arange(len(labels)), labels]
        # A tie counts against the model unless the label comes first, as in argmax.
        before = np.arange(outputs.shape[1]) < labels[:, None]
        larger = probabilities > correct[:, None]
        equal = (probabilities == correct[:, None]) & before
        ranks.append((larger | equal).sum(axis=1))
        losses.append(-np.log(np.maximum(correct, 1e-12)))
    rank, loss = np.concatenate(ranks), np.concatenate(losses)
    result = {
        "part": name,
        "num_images": len(rank),
        "accuracy": float(np.mean(rank == 0)),
        "loss": float(np.mean(loss)),
    }
    if data.num_classes > 5:
        result["top5_accuracy"] = float(np.mean(rank < 5))
    return result


def _batches(predictor: Predictor, images: Any, batch_size: int) -> Any:
    if predictor.pixel_size is None:
        batches = images.batches(predictor.preprocessing, batch_size)
        for batch in batches if hasattr(batches, "element_spec") else _each(batches):
            yield np.asarray(batch[0]), np.asarray(batch[1])
        return
    # The model preprocesses: it takes pictures, one at a time as sizes may differ.
    for picture, label in zip(images.pictures(), images.labels, strict=True):
        yield predictor.prepare(picture)[None], np.asarray([label])


def _each(batches: Any) -> Any:
    return (batches[i] for i in range(len(batches)))


def _short(names: tuple[str, ...]) -> str:
    listed = ", ".join(names[:5])
    return f"[{listed}{', ...' if len(names) > 5 else ''}] ({len(names)})"
