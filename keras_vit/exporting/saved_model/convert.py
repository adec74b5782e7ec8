"""A `.keras` file becomes a SavedModel folder, under TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.saved_model.bytes_signature import BYTES_INPUT, CLASS_NAME
from keras_vit.exporting.saved_model.image_files import image_reader
from keras_vit.exporting.served_function import (
    Function,
    inference,
    load_model,
    named_outputs,
)
from keras_vit.preprocessing import Preprocessing

SIGNATURE = "serving_default"


def convert(job: ConversionJob) -> None:
    """Write the folder `job.target`."""
    write_saved_model(job, job.target, job.metadata["bytes_signature"])


def write_saved_model(
    job: ConversionJob, folder: Path, bytes_signature: str | None = None
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
    archive.write_out(str(folder), verbose=False)


def images_spec(job: ConversionJob) -> Any:
    """Return shape, type and name of the images as TensorFlow writes them."""
    import tensorflow as tf

    given = job.input
    return tf.TensorSpec(given["shape"], given["dtype"], name=given["name"])


def _serve_bytes(job: ConversionJob, model: Any) -> Function:
    """Return the function from image files to probabilities, or to features."""
    import tensorflow as tf

    read = image_reader(Preprocessing(**job.metadata["preprocessing"]))
    takes_pixels = job.input["values"] == "pixels"
    # Behind the layer that prepares pixels; see `prepared_model.py`.
    call = inference(model.layers[-1] if takes_pixels else model)
    serve = named_outputs(job, call)
    names = job.metadata["class_names"]
    thresholds = job.metadata["output"].get("thresholds")

    def serve_bytes(image_bytes: Any) -> dict[str, Any]:
        outputs = serve(read(image_bytes))
        if "logits" in outputs:
            # A server's clients have no model to ask what to do with logits.
            logits = outputs.pop("logits")
            is_softmax = logits.shape[-1] > 1 and thresholds is None
            turn = tf.nn.softmax if is_softmax else tf.nn.sigmoid
            outputs = {"probabilities": turn(logits), **outputs}
        if names and "probabilities" in outputs:
            given, known = outputs["probabilities"], tf.constant(names)
            if thresholds is not None:  # Any number of names, with a bar between.
                found = tf.ragged.boolean_mask(
                    tf.broadcast_to(known, tf.shape(given)), given >= thresholds
                )
                outputs[CLASS_NAME] = tf.strings.reduce_join(
                    found, axis=-1, separator="|"
                )
                return outputs
            if given.shape[-1] == 1 and len(names) == 2:  # No and yes.
                best = tf.cast(
                    given[:, 0] >= job.metadata["output"]["threshold"], "int32"
                )
            else:
                best = tf.argmax(given, axis=-1)
            outputs[CLASS_NAME] = tf.gather(known, best)
        return outputs

    return serve_bytes
