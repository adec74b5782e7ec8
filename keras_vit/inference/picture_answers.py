"""What a classifier says of each picture.

N pictures that it is judged by, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vit.data.image_data import ImageData
from keras_vit.data.images import Images
from keras_vit.data.opening import Part
from keras_vit.data.trained_pictures import TrainedPictures
from keras_vit.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureAnswers:
    """What a classifier says of each picture.

    Args:
        class_names: one for each column of the probabilities.
        labels: number of the class of each picture, int64 (N,); of pictures with
            several labels whether each is there, bool (N, C).
        probabilities: float32 (N, C).
        answers: class that is the answer, int64 (N,); of several labels bool (N, C).
        images: the pictures, in the same order.
        data: that they are of.
        model: as it was given: a Keras model, a path or a `Predictor`.
        preprocessing: what pictures went through.
        rejecting: column of "none of these"; None: there is none.
        thresholds: of several labels: from which on each is there, (C,).
        parts: part of each picture, str (N,); None if all are of one.
        trained: pictures of the run that made the model; None: not known.
        judge: from another model to its `Evaluation` on the same pictures.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    answers: np.ndarray
    images: Part
    data: ImageData
    model: Any
    preprocessing: Preprocessing
    rejecting: int | None = None
    thresholds: np.ndarray | None = None
    parts: np.ndarray | None = None
    trained: TrainedPictures | None = None
    judge: Callable[[Any], Any] | None = None

    @property
    def is_multi_label(self) -> bool:
        """Whether a picture may have several labels."""
        return self.labels.ndim == 2

    @property
    def rights(self) -> np.ndarray:
        """Whether each picture is right, bool (N,); of several labels all of them."""
        same = self.answers == self.labels
        return same.all(axis=1) if self.is_multi_label else same

    @property
    def confidences(self) -> np.ndarray:
        """Probability of the answer to each picture, float32 (N,).

        Of several labels it is the highest probability.
        """
        if self.is_multi_label:
            return self.probabilities.max(axis=1)
        return self.probabilities[np.arange(len(self.answers)), self.answers]

    @property
    def readable(self) -> Images | None:
        """The pictures if they can be read by number; None of a stream."""
        return self.images if isinstance(self.images, Images) else None

    def named(self, number: int) -> str:
        """Return in words what is on a picture, as its labels say."""
        return self._named(self.labels[number])

    def answered(self, number: int) -> str:
        """Return in words what the model says is on a picture."""
        return self._named(self.answers[number])

    def _named(self, found: Any) -> str:
        if not self.is_multi_label:
            return self.class_names[int(found)]
        names = [self.class_names[int(i)] for i in np.flatnonzero(found)]
        return ", ".join(names) or "none of them"
