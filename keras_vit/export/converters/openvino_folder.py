"""A `.keras` file becomes an OpenVINO folder, by way of ONNX, under TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_vit.export.converters.onnx_file import write_onnx
from keras_vit.export.formats import FORMATS
from keras_vit.export.run_exported import import_openvino


def convert(job: dict[str, Any]) -> None:
    """Write the folder `job["target"]`."""
    openvino = import_openvino()
    # An ONNX file names inputs, outputs and sizes; a SavedModel's graph does not.
    file = str(Path(job["scratch"]) / "model.onnx")
    write_onnx(job, file)
    folder = Path(job["target"])
    folder.mkdir()
    openvino.save_model(
        openvino.convert_model(file),
        folder / FORMATS["openvino"].marker,
        compress_to_fp16=job["quantization"] == "float16",
    )
