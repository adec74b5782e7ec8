"""A `.keras` file becomes a LiteRT file: float32 by TensorFlow, then quantized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.exporting.answers import limits_of
from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.litert.float_file import FloatFile, make_interpreter
from keras_vit.exporting.litert.gpu_graph import suit_gpus
from keras_vit.exporting.litert.model_parts import choose_float_parts, find_parts
from keras_vit.exporting.litert.output_order import put_first
from keras_vit.exporting.litert.quantizer_recipes import (
    RECIPES,
    integer_recipe,
    mixed_recipe,
)
from keras_vit.exporting.quantizations import FLOAT32, MIXED_INT8
from keras_vit.exporting.saved_model.convert import SIGNATURE, write_saved_model


def convert(job: ConversionJob) -> dict[str, Any]:
    """Write the file `job.target`, and return what was decided."""
    if job.quantization == FLOAT32:
        write_float(job, job.target)
        return {}
    # One route to each precision: the float file is what all are made from, so they
    # differ in nothing but numbers.
    write_float(job, job.float_file)
    limits = limits_of(job.metadata["output"])
    file = FloatFile(job.float_file, job.calibration(), limits)
    decided: dict[str, Any] = {}
    if job.quantization == MIXED_INT8:
        parts = find_parts(file.ops, job.parts)
        kept = choose_float_parts(file, parts, job.output != "features")
        recipe = mixed_recipe(parts, kept)
        decided["float_parts"] = kept
    elif job.has_integer_ends:
        recipe = integer_recipe(job.quantization)
    else:
        recipe = RECIPES[job.quantization](file.output)
    job.target.write_bytes(file.quantize(recipe))
    if job.has_integer_ends:
        decided |= _integer_ends(job)
    return decided


def _integer_ends(job: ConversionJob) -> dict[str, Any]:
    """Return what the file takes and gives: integers, and what they stand for."""
    interpreter = make_interpreter(job.target)
    ends = {
        "input": interpreter.get_input_details()[0],
        "output": interpreter.get_output_details()[0],
    }
    found = {}
    for name, details in ends.items():
        scale, zero_point = details["quantization"]
        found[name] = {
            **job.metadata[name],
            **({"values": "quantized"} if name == "input" else {}),
            "dtype": np.dtype(details["dtype"]).name,
            "scale": float(scale),
            "zero_point": int(zero_point),
        }
    return found


def write_float(job: ConversionJob, path: Path) -> None:
    """Write a LiteRT file in float32."""
    import tensorflow as tf

    folder = job.scratch / "saved"
    write_saved_model(job, folder)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=[SIGNATURE]
    )
    # No Flex ops: they need a second runtime that phones and pages do not have.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    path.write_bytes(converter.convert())
    if job.metadata["attention"]:
        put_first(path, job.output)
    batch, *sizes = job.input["shape"]
    if batch == 1 and None not in sizes:
        suit_gpus(path)
