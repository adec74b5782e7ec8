"""A `.keras` file becomes an OpenVINO folder, by way of ONNX, under TensorFlow."""

from __future__ import annotations

from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.formats import FORMATS
from keras_vit.exporting.onnx_file import write_onnx
from keras_vit.exporting.run_exported import import_openvino


def convert(job: ConversionJob) -> None:
    """Write the folder `job.target`."""
    openvino = import_openvino()
    # An ONNX file names inputs, outputs and sizes; a SavedModel's graph does not.
    file = job.scratch / "model.onnx"
    write_onnx(job, file)
    job.target.mkdir()
    openvino.save_model(
        openvino.convert_model(str(file)),
        job.target / FORMATS["openvino"].marker,
        compress_to_fp16=job.quantization == "float16",
    )
