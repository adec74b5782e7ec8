"""The mobile profile: what it changes in a model, and how that is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from keras_vit.model_copy import plain_copy
from keras_vit.preprocessing import Preprocessing


def mobile_preprocessing(own: Preprocessing | None) -> Preprocessing | None:
    """Return what an image goes through before a mobile file takes it.

    That is the model's own; the file takes pixels from 0 to 255 if mean or standard
    deviation differ between channels, which MediaPipe refuses.
    """
    if own is None or own.resize == "border":
        return own  # Borders have the mean colour, which stays with the caller.
    if len({*zip(own.mean, own.std, strict=True)}) == 1:
        return own
    return replace(own, mean=0.0, std=1 / 255)  # pyright: ignore[reportArgumentType]


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


def with_float16_norms(model: keras.Model) -> keras.Model:
    """Return a copy whose norms square a sixteenth of the values, for float16.

    In float32 it computes the same; see `LayerNormalization`.
    """
    return plain_copy(model, **_with_float16_norms(model.get_config()))


def _with_float16_norms(config: Any) -> Any:
    """Return the config of a model, or a part of one, with such norms."""
    if isinstance(config, list | tuple):
        return type(config)(_with_float16_norms(value) for value in config)
    if not isinstance(config, dict):
        return config
    changed = {name: _with_float16_norms(value) for name, value in config.items()}
    if "use_float16_squares" in changed:  # A normalization.
        changed["use_float16_squares"] = True
    if changed.get("normalization") in ("layer", "rms"):  # A ViT.
        changed["normalization"] += "_float16"
    return changed


def mobile_changes(*, normalization: bool, probabilities: bool) -> tuple[str, ...]:
    """Return how a mobile file differs from another one, one sentence each.

    Args:
        normalization: whether it is in the graph.
        probabilities: whether they were added.
    """
    happened = {
        "normalization: in the graph, because mean or standard deviation differ "
        "between channels; the file takes pixels from 0 to 255 in float32": (
            normalization
        ),
        "output: probabilities instead of logits, which MediaPipe shows as they are": (
            probabilities
        ),
        "norms: they square a sixteenth of the values, so that float16 holds "
        "deviations up to 4096 instead of 256": True,
    }
    return tuple(text for text, holds in happened.items() if holds)


def mediapipe_warnings(
    preprocessing: Preprocessing | None,
    *,
    channels: int,
    num_outputs: int,
    num_classes: int | None,
) -> tuple[str, ...]:
    """Return why MediaPipe's ImageClassifier will not take a file, for a person.

    It says so itself when an app opens the file, which is late. Each reason was tried
    with MediaPipe; see `docs/phones.md`.

    Args:
        preprocessing: what an image goes through before the file takes it.
        channels: of the images.
        num_outputs: of the file.
        num_classes: None: the file gives features.
    """
    p = preprocessing
    differs = p is not None and len({*zip(p.mean, p.std, strict=True)}) > 1
    refused = "it refuses the file"
    reasons = {
        f"takes RGB pictures, and this model takes {channels} channel(s)": (
            channels != 3 and refused
        ),
        "needs mean and standard deviation, and this model has no preprocessing": (
            p is None and refused
        ),
        "takes one mean and deviation for all channels, and with resize='border' they "
        "stay outside the graph": differs and refused,
        "takes one output, and this file has the attention map as a second": (
            num_outputs > 1 and "it may show one for the other"
        ),
        "takes classifiers, and this file gives features": (
            num_classes is None and "it shows them as classes"
        ),
    }
    return tuple(
        f"MediaPipe's ImageClassifier {reason}: {outcome}. LiteRT's interpreter runs "
        "the file."
        for reason, outcome in reasons.items()
        if outcome
    )
