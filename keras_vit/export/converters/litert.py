"""A `.keras` file becomes a LiteRT file: float32 by TensorFlow, then quantized."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_vit.export.converters.gpu_graph import suit_gpus
from keras_vit.export.converters.measure import Measure, choose_float_parts
from keras_vit.export.converters.parts import find_parts
from keras_vit.export.converters.recipes import FLOAT32, MIXED, RECIPES, mixed_recipe
from keras_vit.export.converters.saved_model import SIGNATURE, write_saved_model


def convert(job: dict[str, Any]) -> None:
    """Write the file `job["target"]`, and what was decided to `job["result"]`."""
    decided: dict[str, Any] = {}
    precision = job["quantization"]
    if precision == FLOAT32:
        write_float(job, job["target"])
    else:
        decided = write_quantized(job, precision)
    Path(job["result"]).write_text(json.dumps(decided), encoding="utf-8")


def write_quantized(job: dict[str, Any], precision: str) -> dict[str, Any]:
    """Write the file, and return what was decided."""
    # One route to each precision: the float file is what all are made from, so they
    # differ in nothing but numbers.
    float_file = job["float_file"]
    write_float(job, float_file)
    decided: dict[str, Any] = {}
    measure = Measure(float_file, job["calibration"])
    if precision == MIXED:
        parts = find_parts(float_file, job["parts"])
        kept = choose_float_parts(measure, parts, job["output"] != "features")
        recipe = mixed_recipe(parts, kept)
        decided["float_parts"] = kept
    else:
        recipe = RECIPES[precision](measure.output)
    Path(job["target"]).write_bytes(measure.quantize(recipe))
    return decided


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
    batch, *sizes = job["input"]["shape"]
    if batch == 1 and None not in sizes:
        suit_gpus(path)
