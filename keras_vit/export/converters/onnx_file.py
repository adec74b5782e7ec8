"""A `.keras` file becomes an ONNX file, under TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_vit.export.converters.function import inference, load_model, named_outputs
from keras_vit.export.converters.onnx_precisions import PRECISIONS
from keras_vit.export.converters.saved_model import images_spec

# The latest that tf2onnx 1.17 writes.
OPSET = 18
_SIDES = ("batch", "height", "width", "channels")


def convert(job: dict[str, Any]) -> None:
    """Write the file `job["target"]`."""
    if job["quantization"] not in PRECISIONS:
        write_onnx(job, job["target"])
        return
    write_onnx(job, job["float_file"])
    PRECISIONS[job["quantization"]](job["float_file"], job["target"])


def write_onnx(job: dict[str, Any], path: str) -> None:
    """Write an ONNX file in float32."""
    import tensorflow as tf
    import tf2onnx

    spec = images_spec(job)
    function = tf.function(
        named_outputs(job, inference(load_model(job))),
        input_signature=[spec],
        autograph=False,
    )
    model, _ = tf2onnx.convert.from_function(
        function, input_signature=[spec], opset=OPSET
    )
    _name_sides(model.graph, job["input"]["shape"][0])
    Path(path).write_bytes(model.SerializeToString())


def _name_sides(graph: Any, batch: int | None) -> None:
    """Give unknown sizes names that say what they are, "batch" for example."""
    for value in graph.input:
        sides = value.type.tensor_type.shape.dim
        for side, name in zip(sides, _SIDES, strict=True):
            if not side.HasField("dim_value"):
                side.dim_param = name
    for value in graph.output:
        first = value.type.tensor_type.shape.dim[0]
        if batch is None:
            first.dim_param = _SIDES[0]
        else:
            first.dim_value = batch
