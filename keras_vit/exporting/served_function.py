"""What an exported file computes: from images to named outputs, in each format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

import keras_vit  # noqa: F401  (registers the layers)
from keras_vit.exporting.attention_map import OUTPUT_NAME
from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.loadable_layers import import_objects

Function = Callable[[Any], dict[str, Any]]


def load_model(job: ConversionJob) -> Any:
    """Return the model that is converted."""
    found = import_objects(list(job.custom_objects))
    return keras.models.load_model(job.model_file, found, compile=False)


def served_function(job: ConversionJob) -> Function:
    """Return the function from images to named outputs that a file holds."""
    return named_outputs(job, inference(load_model(job)))


def named_outputs(job: ConversionJob, call: Callable[[Any], Any]) -> Function:
    """Return a function with its output named, and the attention if wanted.

    Args:
        job: of the converter.
        call: from images to the output of the model.
    """

    def serve(images: Any) -> dict[str, Any]:
        found = call(images)
        if isinstance(found, dict):  # See `with_attention_map`.
            return {job.output: found["outputs"], OUTPUT_NAME: found[OUTPUT_NAME]}
        return {job.output: found}

    return serve


def inference(model: Any) -> Callable[[Any], Any]:
    """Return a model as a function, without what happens in training."""
    return lambda images: model(images, training=False)
