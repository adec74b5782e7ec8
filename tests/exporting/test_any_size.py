"""Exported graphs for images of any size."""

from __future__ import annotations

import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting.child_process import run
from keras_vit.exporting.formats import FORMATS
from keras_vit.surgery import resize
from tests.any_size import KINDS, SIZES, close, tiny
from tests.contract import example, to_numpy
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures

pytestmark = ONE_BACKEND


OPTIONS = {
    **KINDS,
    "another kernel": {"resampling": "bicubic"},
    "square": {"resampling": "bilinear_square", "pad_images": True},
}


def free_model(kind: str) -> keras_vit.ViT:
    model = tiny(**OPTIONS[kind], preprocessing=Preprocessing(image_size=32))
    return resize(model, image_size=None)


@pytest.mark.parametrize(
    ("kind", "format", "name"),
    [
        ("registers", "saved_model", "model"),
        ("mixed", "saved_model", "model"),
        ("registers", "onnx", "model.onnx"),
        ("another kernel", "onnx", "model.onnx"),
        ("square", "saved_model", "model"),
        ("square", "onnx", "model.onnx"),
    ],
)
def test_an_exported_graph_takes_each_size(kind, format, name, tmp_path):
    free = free_model(kind)
    path = tmp_path / name
    keras_vit.export(free, path, format=format, batch=None, report=False)
    pictures = [example((*size, 3)) for size in SIZES]
    expected = np.concatenate([to_numpy(free(x[None])) for x in pictures])
    close(run(path, format, pictures, tmp_path), expected)


def test_a_litert_file_in_int8_takes_each_size(tmp_path):
    free = free_model("sincos")
    pictures = [np.asarray(picture) for picture, _ in digit_pictures(30)]
    path = tmp_path / "model.tflite"
    keras_vit.export(
        free, path, quantization="int8", calibration=pictures, report=False
    )
    shown = [Preprocessing(image_size=size)(pictures[0]) for size in SIZES]
    expected = np.concatenate([to_numpy(free(x[None])) for x in shown])
    difference = run(path, "litert", shown, tmp_path) - expected
    # Ranges are those of the one size that it was calibrated with.
    assert abs(difference).max() < 0.2 * abs(expected).max()


def test_a_gpu_takes_one_size(tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ValueError, match="Fix the size first"):
        keras_vit.export(free_model("registers"), path, profile="mobile")


@pytest.mark.parametrize("format", ["openvino", "torch", "stablehlo"])
def test_formats_of_one_size_say_so(format, tmp_path):
    path = tmp_path / f"model{FORMATS[format].suffix}"
    with pytest.raises(ValueError, match="Fix the size first"):
        keras_vit.export(free_model("registers"), path, format=format)
    assert not list(tmp_path.iterdir())
