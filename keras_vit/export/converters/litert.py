"""A `.keras` file becomes a LiteRT file, under TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_vit.export.converters.saved_model import SIGNATURE, write_saved_model


def convert(job: dict[str, Any]) -> None:
    """Write the file `job["target"]`, float32."""
    import tensorflow as tf

    folder = str(Path(job["scratch"]) / "saved")
    write_saved_model(job, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=[SIGNATURE]
    )
    # No Flex ops: they need a second runtime that phones and pages do not have.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    Path(job["target"]).write_bytes(converter.convert())
