"""Convert a `.keras` file under TensorFlow; runs in a child process of `export`.

Usage: KERAS_BACKEND=tensorflow python -m keras_vit.export.convert JOB.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras

import keras_vit  # noqa: F401  (registers the layers)


def convert(job: dict[str, Any]) -> None:
    """Write a SavedModel folder and, if `job["tflite"]` says where, a LiteRT file."""
    import tensorflow as tf

    model: Any = keras.models.load_model(job["model"], compile=False)
    output = job["output"]

    def serve(images: Any) -> dict[str, Any]:
        return {output: model(images, training=False)}

    spec = tf.TensorSpec(
        job["input"]["shape"], job["input"]["dtype"], name=job["input"]["name"]
    )
    archive: Any = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve, input_signature=[spec])
    archive.write_out(job["saved_model"], verbose=False)
    if job["tflite"] is None:
        return
    converter = tf.lite.TFLiteConverter.from_saved_model(
        job["saved_model"], signature_keys=["serving_default"]
    )
    # No Flex ops: they need a second runtime that phones and pages do not have.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    Path(job["tflite"]).write_bytes(converter.convert())


if __name__ == "__main__":
    convert(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
