"""The same model, exported twice, gives the same bytes."""

from __future__ import annotations

import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting import child_process
from tests.exporting.test_formats import PATHS
from tests.one_backend import ONE_BACKEND
from tests.tiny_model import tiny

pytestmark = ONE_BACKEND


def start_a_process() -> Any:
    """Return what starts child processes: a new one counts its layers from the start.

    Other tests convert in their own process; see `tests/one_backend.py`.
    """
    spec: Any = spec_from_file_location("original", child_process.__file__)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.start


def contents(path: Path) -> list[bytes]:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return [file.read_bytes() for file in files if file.is_file()]


# A SavedModel has a random number in its fingerprint.
@pytest.mark.parametrize("format", ["litert", "openvino", "onnx", "torch", "stablehlo"])
def test_the_same_model_gives_the_same_bytes(format, tmp_path, monkeypatch):
    model = tiny(num_classes=3, preprocessing=Preprocessing(image_size=32))
    name = PATHS.get(format, "model.tflite")
    monkeypatch.setattr(child_process, "start", start_a_process())
    found = []
    for number, folder in enumerate(("one", "other")):
        # Dates in a zip archive have steps of two seconds.
        later = time.localtime(time.time() + 3600 * number)
        monkeypatch.setattr(time, "localtime", lambda *given, now=later: now)
        path = tmp_path / folder / name
        path.parent.mkdir()
        keras_vit.export(model, path, format=format, report=False)
        found.append(contents(path))
    assert found[0] == found[1]


@pytest.mark.parametrize("format", ["onnx", "openvino"])
@pytest.mark.parametrize("kind", ["adapted", "given", "of all"])
def test_what_a_layer_holds_without_a_variable_is_in_the_file(format, kind, tmp_path):
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 32, 32, 3))
    layer = {
        "adapted": layers.Normalization(),
        "given": layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]),
        "of all": layers.Normalization(mean=5.0, variance=6.0, axis=None),
    }[kind]
    if kind == "adapted":
        layer.adapt(pixels.astype("float32"))
    model = keras.Sequential([keras.Input((32, 32, 3)), layer, tiny(num_classes=3)])
    path = tmp_path / PATHS[format]
    report = keras_vit.export(model, path, format=format, batch=None, report=False)
    assert report.max_difference < 1e-4
