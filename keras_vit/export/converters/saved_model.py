"""A `.keras` file becomes a SavedModel folder, under TensorFlow."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import keras

import keras_vit  # noqa: F401  (registers the layers)
from keras_vit.config import ViTConfig
from keras_vit.export.attention import attention_map
from keras_vit.layers.attention_product import recorded_weights
from keras_vit.layers.root_mean_square import half_precision_squares

SIGNATURE = "serving_default"
MOBILE = "mobile"


def convert(job: dict[str, Any]) -> None:
    """Write the folder `job["target"]`."""
    write_saved_model(job, job["target"])


def write_saved_model(job: dict[str, Any], folder: str) -> None:
    """Write a SavedModel with one signature, from images to the named outputs."""
    import tensorflow as tf

    model: Any = keras.models.load_model(job["model"], compile=False)
    output, attention = job["output"], job["metadata"]["attention"]
    is_mobile = job.get("profile") == MOBILE

    def serve(images: Any) -> dict[str, Any]:
        safe = half_precision_squares() if is_mobile else nullcontext()
        with safe, recorded_weights() as weights:
            outputs = {output: model(images, training=False)}
        if attention:
            config = ViTConfig(**job["metadata"]["config"])
            outputs[attention["name"]] = attention_map(weights, config)
        return outputs

    spec = tf.TensorSpec(
        job["input"]["shape"], job["input"]["dtype"], name=job["input"]["name"]
    )
    archive: Any = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(SIGNATURE, serve, input_signature=[spec])
    archive.write_out(folder, verbose=False)
