"""A `.keras` file becomes a SavedModel folder, under TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_vit.export.converters.encoded_images import image_reader
from keras_vit.export.converters.function import (
    Function,
    inference,
    load_model,
    named_outputs,
)
from keras_vit.export.encoded import BYTES_INPUT, CLASS_NAME
from keras_vit.layers.image_preprocessing import ImagePreprocessing

SIGNATURE = "serving_default"


def convert(job: dict[str, Any]) -> None:
    """Write the folder `job["target"]`."""
    write_saved_model(job, job["target"], job["metadata"]["bytes_signature"])


def write_saved_model(
    job: dict[str, Any], folder: str, bytes_signature: str | None = None
) -> None:
    """Write a SavedModel with a signature from images to the named outputs.

    Args:
        job: of the converter.
        folder: to write.
        bytes_signature: name of a second one that takes image files; None: no such one.
    """
    import tensorflow as tf

    model = load_model(job)
    archive: Any = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        SIGNATURE,
        named_outputs(job, inference(model)),
        input_signature=[images_spec(job)],
    )
    if bytes_signature:
        spec = tf.TensorSpec((None,), tf.string, name=BYTES_INPUT)
        archive.add_endpoint(
            bytes_signature, _serve_bytes(job, model), input_signature=[spec]
        )
    archive.write_out(folder, verbose=False)


def images_spec(job: dict[str, Any]) -> Any:
    """Return shape, type and name of the images as TensorFlow writes them."""
    import tensorflow as tf

    given = job["input"]
    return tf.TensorSpec(given["shape"], given["dtype"], name=given["name"])


def _serve_bytes(job: dict[str, Any], model: Any) -> Function:
    """Return the function from image files to probabilities, or to features."""
    import tensorflow as tf

    metadata = job["metadata"]
    read = image_reader(metadata["preprocessing"])
    serve = named_outputs(job, _after_preprocessing(model, metadata))
    names = metadata["class_names"]

    def serve_bytes(image_bytes: Any) -> dict[str, Any]:
        outputs = serve(read(image_bytes))
        if "logits" in outputs:
            # A server's clients have no model to ask what to do with logits.
            logits = outputs.pop("logits")
            turn = tf.nn.softmax if logits.shape[-1] > 1 else tf.nn.sigmoid
            outputs = {"probabilities": turn(logits), **outputs}
        if names and "probabilities" in outputs:
            best = tf.argmax(outputs["probabilities"], axis=-1)
            outputs[CLASS_NAME] = tf.gather(tf.constant(names), best)
        return outputs

    return serve_bytes


def _after_preprocessing(model: Any, metadata: dict[str, Any]) -> Callable[[Any], Any]:
    """Return the function from preprocessed images to the output of the model."""
    if metadata["input"]["values"] != "pixels":
        return inference(model)
    return _behind_preprocessing(model)


def _behind_preprocessing(model: Any) -> Callable[[Any], Any]:
    """Return what a model from pixels computes behind the layer that prepares them.

    See `prepare`: the layers are in a row, and the first may be such a model itself.
    """
    _, first, *layers = model.layers
    if not isinstance(first, ImagePreprocessing):
        layers = [_behind_preprocessing(first), *layers]

    def call(images: Any) -> Any:
        for layer in layers:
            images = layer(images)
        return images

    return call
