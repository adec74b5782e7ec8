"""The mobile profile: files that GPU delegates take as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli.command_line import main
from keras_vit.exporting.conversion import ConversionJob
from keras_vit.exporting.litert.audit import audit
from keras_vit.metadata import read_metadata
from tests.exporting.litert.test_tflite_metadata import (
    NAMES,
    PICTURES,
    assert_same,
    classify,
    predictions,
)
from tests.families import FAMILIES
from tests.one_backend import ONE_BACKEND
from tests.webgpu import CHROMIUM, Run, open_webgpu

pytestmark = ONE_BACKEND


@pytest.fixture(scope="module")
def webgpu(request, tmp_path_factory) -> Iterator[Run | None]:
    """A GPU, or what computes like one; None where there is no browser."""
    if CHROMIUM is None or shutil.which("npm") is None:
        yield None
    else:
        playwright = request.getfixturevalue("playwright")
        with open_webgpu(playwright, tmp_path_factory.mktemp("webgpu")) as run:
            yield run


def with_weights(seed: int = 2, **options) -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", **{"num_classes": 4, **options})
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        # What is the same for each picture is small, so that the picture decides.
        scale = 0.02 if weight.path.endswith(("token", "table")) else 0.4
        weight.assign(scale * rng.normal(size=weight.shape))
    return model


def run_file(path: Path, image: np.ndarray) -> np.ndarray:
    """Return what a LiteRT file computes on the CPU."""
    from keras_vit.exporting.litert.float_file import make_interpreter

    interpreter = make_interpreter(path)
    feed = interpreter.get_input_details()[0]["index"]
    interpreter.set_tensor(feed, image.astype("float32"))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic_int8"])
def test_a_mobile_file_of_a_model_with_imagenet_normalization(
    tmp_path, quantization, webgpu
):
    model = with_weights(
        class_names=NAMES,
        preprocessing=Preprocessing(
            image_size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
    )
    path = tmp_path / "model.tflite"
    report = keras_vit.export(
        model,
        path,
        profile="mobile",
        quantization=quantization,
        images=PICTURES,
        report=False,
    )
    changed = [change.split(":")[0] for change in report.changes]
    assert changed == ["normalization", "output", "norms"]
    found = audit(path)
    assert not found.gpu_refusals and found.xnnpack_partitions == 1
    tolerance = 1e-3 if quantization == "float32" else 0.05
    assert_same(classify(path, PICTURES), predictions(model), tolerance)
    own = [
        {p.class_name: p.probability for p in one}
        for one in keras_vit.predict(path, PICTURES, top=4)
    ]
    assert_same(own, predictions(model), tolerance)
    if webgpu is not None:
        image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3))
        np.testing.assert_allclose(
            webgpu(path, image)[None], run_file(path, image), atol=tolerance
        )


# As large as real ones, where TensorFlow's converter computes less beforehand.
SIZES = {"large": {"image_size": 224, "hidden_dim": 384, "num_heads": 6}}


@pytest.mark.parametrize("name", [*FAMILIES, *SIZES])
def test_gpus_take_every_architecture(name, tmp_path, webgpu):
    from keras_vit.exporting.litert.convert import write_float

    model = with_weights(**{**FAMILIES, **SIZES}[name])
    path = tmp_path / "model.tflite"
    shape = [1, *model.input_shape[1:]]
    job = ConversionJob(
        converter="litert.convert",
        scratch=tmp_path,
        target=path,
        parent=0,
        metadata={
            "input": {"name": "images", "dtype": "float32", "shape": shape},
            "output": {"name": "logits"},
            "attention": None,
        },
        is_mobile=True,
    )
    model.save(job.model_file)
    write_float(job, path)
    found = audit(path)
    assert not found.gpu_refusals and found.xnnpack_partitions == 1
    image = np.random.default_rng(0).normal(size=shape)
    image = image.astype("float32")
    expected = model.predict(image, verbose=0)
    tolerance = 1e-4 * max(1, abs(expected).max())
    np.testing.assert_allclose(run_file(path, image), expected, atol=tolerance)
    if webgpu is not None:
        np.testing.assert_allclose(webgpu(path, image)[None], expected, atol=tolerance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "watch"}, r"one of \['mobile'\]"),
        ({"batch": 2}, "needs batch=1"),
        ({"input": "pixels"}, "needs input='float'"),
        ({"quantization": "int16x8", "calibration": PICTURES * 2}, None),
    ],
)
def test_what_a_gpu_cannot_take_is_refused(tmp_path, options, message):
    model = with_weights(preprocessing=Preprocessing(image_size=32))
    error = ValueError if message else RuntimeError
    with pytest.raises(error, match=message or "received .*dtype int16"):
        keras_vit.export(
            model, tmp_path / "model.tflite", **{"profile": "mobile", **options}
        )
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_the_profile_changed(tmp_path, capsys):
    source, path = tmp_path / "model.keras", tmp_path / "model.tflite"
    with_weights(preprocessing=Preprocessing(image_size=32)).save(source)
    about = ["--author", "Ada", "--model-version", "1.2", "--profile", "mobile"]
    assert main(["export", str(source), "--output", str(path), *about]) == 0
    assert "changed norms: they square a sixteenth" in capsys.readouterr().out
    written = read_metadata(path)["about"]
    assert (written["author"], written["version"]) == ("Ada", "1.2")


def test_only_litert_files_are_for_phones(tmp_path):
    with pytest.raises(ValueError, match="needs format='litert'"):
        keras_vit.export(
            with_weights(), tmp_path / "m", format="saved_model", profile="mobile"
        )
