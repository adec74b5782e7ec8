"""The thresholds of a model for images with several labels, in a run."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_vit.data.image_data import ImageData
from keras_vit.label_scores import best_thresholds
from keras_vit.output_activation import output_activation

DEFAULT = 0.5


def prepare_thresholds(model: Any, data: ImageData) -> None:
    """Let a model say that each of its outputs is a yes or no, if images need it.

    Raises:
        ValueError: if it says something else.
    """
    own = getattr(model, "thresholds", None)
    if not data.is_multi_label:
        if own is not None and len(own) > 1:
            raise ValueError(
                f"The model says yes or no to each class (model.thresholds), and "
                f"images of {data.name!r} have one label each. Set model.thresholds = "
                "None, or open the data with multi_label=True (--multi-label)."
            )
        return
    activation = output_activation(model)
    if activation not in (None, "sigmoid"):
        raise ValueError(
            f"Images of {data.name!r} have several labels, and the model ends with "
            f"{activation}, which chooses one class. Build it with "
            "classifier_activation=None or 'sigmoid'."
        )
    if own is None:
        model.thresholds = (DEFAULT,) * data.num_classes


def choose_thresholds(model: Any, data: ImageData, batch_size: int) -> str:
    """Give a model the thresholds with the highest F1 on the validation part.

    Args:
        model: with preprocessing; stays as it is without a validation part.
        data: with several labels to an image.
        batch_size: images per call of the model.

    Returns:
        What was done, in words.
    """
    if data.validation is None:
        return f"{_range(model)}, as there is no validation part to choose them on"
    is_logit = output_activation(model) is None
    found, labels = [], []
    for batch in data.validation.batches(model.preprocessing, batch_size):
        outputs: Any = keras.ops.cast(model.predict_on_batch(batch[0]), "float32")
        if is_logit:
            outputs = keras.ops.sigmoid(outputs)
        found.append(keras.ops.convert_to_numpy(outputs))
        labels.append(np.asarray(batch[1]))
    rows = np.concatenate(labels), np.concatenate(found)
    model.thresholds = tuple(best_thresholds(*rows, default=DEFAULT).tolist())
    return f"{_range(model)}, with the highest F1 of each class on validation"


def kept_thresholds(model: Any) -> str:
    """Return why a run on several devices leaves thresholds as they are, in words."""
    return f"{_range(model)}, as before: they are chosen on one device"


def _range(model: Any) -> str:
    low, high = min(model.thresholds), max(model.thresholds)
    return f"{low:.3f} to {high:.3f}"
