"""A `.keras` file becomes a LiteRT file: float32 by TensorFlow, then quantized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_vit.export.converters.measure import Measure, choose_float_parts
from keras_vit.export.converters.parts import find_parts
from keras_vit.export.converters.recipes import FLOAT32, MIXED, RECIPES, mixed_recipe
from keras_vit.export.converters.saved_model import SIGNATURE, write_saved_model


def convert(job: dict[str, Any]) -> None:
    """Write the file `job["target"]`, and what was decided to `job["result"]`."""
    precision = job["quantization"]
    if precision == FLOAT32:
        write_float(job, job["target"])
        return
    # One route to each precision: the float file is what all are made from, so they
    # differ in nothing but numbers.
    float_file = job["float_file"]
    write_float(job, float_file)
    measure = Measure(float_file, job["calibration"])
    if precision == MIXED:
        parts = find_parts(float_file, job["parts"])
        kept = choose_float_parts(measure, parts, job["output"] != "features")
        recipe = mixed_recipe(parts, kept)
        result = {"float_parts": kept}
        Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")
    else:
        recipe = RECIPES[precision](measure.output)
    Path(job["target"]).write_bytes(measure.quantize(recipe))


def write_float(job: dict[str, Any], path: str) -> None:
    """Write a LiteRT file in float32."""
    import tensorflow as tf

    folder = str(Path(job["scratch"]) / "saved")
    write_saved_model(job, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=[SIGNATURE]
    )
    # No Flex ops: they need a second runtime that phones and pages do not have.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    Path(path).write_bytes(converter.convert())
