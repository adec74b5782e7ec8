"""One small model, with weights that say something."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_vit import ViT
from tests.contract import example, set_random_weights, to_numpy


def tiny(**options: Any) -> ViT:
    model = ViT.from_variant("test", **{"num_classes": 10, **options})
    set_random_weights(model)
    return model


def call(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return to_numpy(model(images))


IMAGES = example((2, 32, 32, 3))
