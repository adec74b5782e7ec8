"""What an exported file computes: from images to named outputs, in each format."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import keras

import keras_vit  # noqa: F401  (registers the layers)
from keras_vit.config import ViTConfig
from keras_vit.export.attention import attention_map
from keras_vit.layers.attention_product import recorded_weights
from keras_vit.layers.root_mean_square import half_precision_squares

MOBILE = "mobile"  # a profile

Function = Callable[[Any], dict[str, Any]]


def load_model(job: dict[str, Any]) -> Any:
    """Return the model that is converted."""
    return keras.models.load_model(job["model"], compile=False)


def named_outputs(job: dict[str, Any], call: Callable[[Any], Any]) -> Function:
    """Return the function that a file holds: `call`, and the attention if wanted.

    Args:
        job: of the converter.
        call: from images to the output of the model.
    """
    output, attention = job["output"], job["metadata"]["attention"]
    is_mobile = job.get("profile") == MOBILE

    def serve(images: Any) -> dict[str, Any]:
        safe = half_precision_squares() if is_mobile else nullcontext()
        with safe, recorded_weights() as weights:
            outputs = {output: call(images)}
        if attention:
            config = ViTConfig(**job["metadata"]["config"])
            outputs[attention["name"]] = attention_map(weights, config)
        return outputs

    return serve


def inference(model: Any) -> Callable[[Any], Any]:
    """Return a model as a function, without what happens in training."""
    return lambda images: model(images, training=False)
