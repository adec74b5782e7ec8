"""Which runtime a LiteRT file needs, and what keeps older ones away."""

from __future__ import annotations

import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting.litert.graph import read_graphs
from keras_vit.metadata import read_metadata
from tests.exporting.litert.test_quantization import DIGITS, make_model
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND


def product_version(path) -> int:
    """Return the version of the op of matrix products."""
    graph = read_graphs(path)[0]
    (code,) = {o.opcodeIndex for o in graph.operators if graph.kind(o)[:5] == "FULLY"}
    return graph.model.operatorCodes[code].version


def said_by(path) -> str:
    """Return what a file says, where runtimes look for it."""
    model = read_graphs(path)[0].model
    (entry,) = (e for e in model.metadata if bytes(e.name) == b"min_runtime_version")
    return bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()


# On tflite-runtime 2.14 and TensorFlow 2.15 those of version 12 are an error, and were
# at chance level before; the others are right there: benchmarks/runtimes.py.
@pytest.mark.parametrize(
    ("precision", "version", "oldest"),
    [
        ("float32", 5, None),
        ("float16", 5, None),
        ("weight_only_int8", 5, None),
        ("int8", 5, None),
        ("mixed_int8", 5, None),
        ("dynamic_int8", 12, "2.17.0"),
        ("int4", 12, "2.17.0"),
        ("int16x8", 5, "litert 2.3"),
    ],
)
def test_a_file_says_which_runtime_it_needs(tmp_path, precision, version, oldest):
    path = tmp_path / "model.tflite"
    needs = keras_vit.exporting.quantizations.QUANTIZATIONS[precision]
    report = keras_vit.export(
        make_model(),
        path,
        quantization=precision,
        calibration=DIGITS if needs.needs_calibration else None,
        images=DIGITS,
        accept_loss=True,
        report=False,
    )
    assert product_version(path) == version
    assert said_by(path) == read_metadata(path)["min_runtime_version"]
    if oldest is not None:
        assert said_by(path) == oldest
        text = "weight_only_int8" if version == 12 else "ai-edge-litert 2.3"
        assert text in report.runtime
    else:
        assert int(said_by(path).split(".")[1]) < 14 and report.runtime
    assert not report.warnings


def test_a_file_for_phones_keeps_what_their_gpus_know_and_warns(tmp_path):
    path = tmp_path / "model.tflite"
    report = keras_vit.export(
        make_model(),
        path,
        quantization="dynamic_int8",
        profile="mobile",
        images=DIGITS,
        report=False,
    )
    assert product_version(path) == 5 and said_by(path) == "2.16.0"
    (warning,) = report.warnings
    assert "before 2.16" in warning and "chance level" in warning


@pytest.mark.parametrize(
    ("options", "export_options", "message"),
    [
        ({"channels": 1}, {}, "takes RGB pictures, and this model takes 1 channel"),
        ({"channels": 4}, {}, "takes RGB pictures, and this model takes 4 channel"),
        ({"preprocessing": None}, {}, "this model has no preprocessing"),
        ({"mean": (0.1, 0.2, 0.3), "resize": "border"}, {}, "one mean and deviation"),
        ({}, {"attention": True}, "takes one output"),
        ({"num_classes": None, "class_names": None}, {}, "this file gives features"),
    ],
)
def test_what_mediapipe_does_not_take_is_a_warning(
    tmp_path, options, export_options, message
):
    channels = options.get("channels", 3)
    own = {k: options.pop(k) for k in ("mean", "resize") if k in options}
    steps = Preprocessing(image_size=32, channels=channels, **own)
    report = keras_vit.export(
        make_model(**{"preprocessing": steps, **options}),
        tmp_path / "model.tflite",
        profile="mobile",
        report=False,
        **export_options,
    )
    (warning,) = (text for text in report.warnings if "MediaPipe" in text)
    assert message in warning


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_a_file_for_microcontrollers_says_what_they_lack(tmp_path, activation):
    # Tried with the package tflite-micro; see docs/quantization.md.
    report = keras_vit.export(
        make_model(activation=activation),
        tmp_path / "model.tflite",
        quantization="int8",
        calibration=DIGITS,
        input="int8",
        accept_loss=True,
        report=False,
    )
    assert ("GELU" in report.ops) == (activation == "gelu")
    told = [text for text in report.warnings if "tflite-micro" in text]
    assert len(told) == (activation == "gelu")


def test_a_label_for_each_value(tmp_path):
    from zipfile import ZipFile

    path = tmp_path / "model.tflite"
    model = make_model(num_classes=1, class_names=("no", "yes"))
    keras_vit.export(model, path, images=DIGITS, report=False)
    with ZipFile(path) as archive:
        assert archive.read("labels.txt").split() == [b"no", b"yes"]
    # The standard metadata names no labels: one value, two names.
    assert b"Names of the classes" not in path.read_bytes()


def test_nothing_is_said_of_pixels_that_nobody_described(tmp_path):
    path = tmp_path / "model.tflite"
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (2, 32, 32, 3), "uint8"))
    model = make_model(preprocessing=None)
    keras_vit.export(model, path, images=pictures, report=False)
    content = path.read_bytes()
    assert b"Pixels in [0, 255]" not in content
    assert b"nothing says how it is made" in content
