"""The mobile profile: what it changes in a model, and how that is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from keras_vit.export.request import MOBILE, ExportRequest
from keras_vit.outputs import output_activation
from keras_vit.preprocessing import Preprocessing


def file_preprocessing(
    model: keras.Model, request: ExportRequest
) -> Preprocessing | None:
    """Return what an image goes through before the file takes it.

    That is the model's own; a mobile file takes pixels from 0 to 255 if mean or
    standard deviation differ between channels, which MediaPipe refuses.
    """
    preprocessing = getattr(model, "preprocessing", None)
    if request.profile != MOBILE or not _differs_by_channel(preprocessing):
        return preprocessing
    return replace(preprocessing, mean=0.0, std=1 / 255)  # pyright: ignore[reportArgumentType]


def _differs_by_channel(preprocessing: Preprocessing | None) -> bool:
    if preprocessing is None or preprocessing.resize == "border":
        return False  # borders have the mean colour, which stays with the caller
    return len({*zip(preprocessing.mean, preprocessing.std, strict=True)}) > 1


def with_normalization(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Return a model of pixels from 0 to 255 that normalizes them itself."""
    images = keras.Input(model.input_shape[1:], dtype="float32", name="images")
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    normalization = keras.layers.Rescaling(
        [1 / (255 * std) for _, std in pairs],
        [-mean / std for mean, std in pairs],
        dtype="float32",
        name="normalization",
    )
    x = model(normalization(images))
    return keras.Model(images, x, name=f"{model.name}_normalized")


def mobile_changes(model: keras.Model, request: ExportRequest) -> tuple[str, ...]:
    """Return how a file differs from one without the profile, one sentence each."""
    if request.profile != MOBILE:
        return ()
    own = getattr(model, "preprocessing", None)
    config: Any = getattr(model, "config", None)
    is_headless = config is not None and config.num_classes is None
    happened = {
        "normalization: in the graph, because mean or standard deviation differ "
        "between channels; the file takes pixels from 0 to 255 in float32": (
            file_preprocessing(model, request) != own
        ),
        "output: probabilities instead of logits, which MediaPipe shows as they are": (
            output_activation(model) is None and not is_headless
        ),
        "norms: they square a sixteenth of the values, so that float16 holds "
        "deviations up to 4096 instead of 256": True,
    }
    return tuple(text for text, holds in happened.items() if holds)
