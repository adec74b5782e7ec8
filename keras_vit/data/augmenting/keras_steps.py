"""Keras and KerasCV layers as steps of the input pipeline.

A layer is kept as its configuration: plain data, which can be compared, stored in a
recipe and sent to other processes. For each image or batch it is made anew with a seed
of its own, so that what it draws follows from the generator and from nothing else.
"""

from __future__ import annotations

import copy
import importlib
import json
import random
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.random import Generator

# KerasCV draws from TensorFlow's global generator, and Keras's AugMix from Python's:
# threads share both.
_LOCK = threading.Lock()


def to_configs(steps: Iterable[Any], option: str) -> tuple[dict[str, Any], ...]:
    """Return the configuration of each layer, JSON values.

    Args:
        steps: layers, or configurations that this function returned.
        option: name of the argument, for errors.

    Raises:
        TypeError: if a step is not a layer, or its configuration is not plain data.
    """
    if isinstance(steps, (Mapping, keras.layers.Layer)):
        steps = (steps,)
    return tuple(_to_config(step, option) for step in steps)


def _to_config(step: Any, option: str) -> dict[str, Any]:
    if isinstance(step, Mapping) and {"class_name", "config"} <= set(step):
        return dict(step)
    if not isinstance(step, keras.layers.Layer):
        raise TypeError(
            f"{option} must hold Keras or KerasCV augmentation layers, such as "
            f"keras.layers.RandomGrayscale(), received {type(step).__name__}."
        )
    try:
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(step)))
        if hasattr(step, "seed"):
            # Keras 3.15 leaves it out for RandomGrayscale.
            config["config"].setdefault("seed", None)
        _make(config)
        return config
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The layers in {option} must be what their get_config() says, in plain "
            f"values, received {type(step).__name__}: "
            f"{str(error).splitlines()[-1]} Give its arguments in another form."
        ) from error


def apply_to_image(
    config: Mapping[str, Any], pixels: np.ndarray, rng: Generator
) -> np.ndarray:
    """Return one image, (H, W, C), changed by a layer.

    Bytes stay bytes. The size must stay the same.

    Raises:
        ImportError: if KerasCV is needed and not installed.
        ValueError: if the layer changes the shape of the image.
    """
    changed = _call(config, pixels.astype("float32")[None], rng)
    if not isinstance(changed, np.ndarray) or changed.shape[1:] != pixels.shape:
        raise ValueError(
            "A step of augmentation must keep the shape of an image, received "
            f"{config['class_name']} from {pixels.shape} to "
            f"{np.shape(changed)[1:]}. Use Preprocessing for the size."
        )
    if pixels.dtype == np.uint8:
        return np.clip(np.rint(changed[0]), 0, 255).astype("uint8")
    return changed[0].astype(pixels.dtype)


def apply_to_batch(
    config: Mapping[str, Any], images: np.ndarray, labels: np.ndarray, rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch changed by a layer that mixes images, such as MixUp or Mosaic.

    Args:
        config: from `to_configs`.
        images: float32 (B, H, W, C).
        labels: probabilities, float32 (B, classes).
        rng: decides everything.
    """
    result = _call(config, {"images": images, "labels": labels}, rng)
    changed = np.asarray(result["images"], "float32")
    mixed = np.asarray(result["labels"], "float32")
    if changed.shape != images.shape or mixed.shape != labels.shape:
        raise ValueError(
            "A step of mixing must keep the shapes of images and labels, received "
            f"{config['class_name']} from {images.shape}, {labels.shape} to "
            f"{changed.shape}, {mixed.shape}."
        )
    return changed, mixed


def _call(config: Mapping[str, Any], inputs: Any, rng: Generator) -> Any:
    seed = int(rng.integers(2**31 - 1))
    with _LOCK:
        state = random.getstate()
        random.seed(seed)
        try:
            if is_keras_cv(config):
                check_keras_cv([config])
                tf = importlib.import_module("tensorflow")
                tf.random.set_seed(seed)
                inputs = keras.tree.map_structure(tf.constant, inputs)
            outputs = _make(_seeded(dict(config), seed))(inputs, training=True)
        finally:
            random.setstate(state)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)


def _make(config: Mapping[str, Any]) -> Any:
    """Return the layer that a configuration describes."""
    # KerasCV puts live layers into the configuration that it reads.
    config = copy.deepcopy(dict(config))
    if is_keras_cv(config):
        # RandomApply and RandomChoice leave the layers in theirs as they are written.
        for name in {"layer", "layers"} & config["config"].keys():
            inner = config["config"][name]
            is_list = isinstance(inner, list)
            config["config"][name] = [*map(_make, inner)] if is_list else _make(inner)
    return keras.saving.deserialize_keras_object(config)


def is_keras_cv(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is of a KerasCV layer."""
    return str(config.get("registered_name")).startswith("keras_cv>")


def check_keras_cv(configs: Iterable[Mapping[str, Any]]) -> None:
    """Raise an ImportError if a layer of KerasCV is among some and not installed."""
    if not any(map(is_keras_cv, configs)):
        return
    try:
        import keras_cv  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "KerasCV is needed for this augmentation, and brings TensorFlow with it. "
            "Install it with pip install 'keras3-vit[cv]'."
        ) from error


def _seeded(value: Any, seed: int) -> Any:
    """Return a configuration in which each "seed" is this one."""
    if isinstance(value, dict):
        return {k: seed if k == "seed" else _seeded(v, seed) for k, v in value.items()}
    return [_seeded(v, seed) for v in value] if isinstance(value, list) else value
