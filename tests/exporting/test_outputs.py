"""The outputs of a file: their order, two classes of one output, integers."""

from __future__ import annotations

import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.metadata import read_metadata
from tests.exporting.test_formats import PATHS, read_back
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures
from tests.tiny_model import tiny

pytestmark = ONE_BACKEND

NAMES = ("ant", "bee", "cat")
PICTURES = [np.asarray(picture.convert("RGB")) for picture, _ in digit_pictures(20)]


def make_model(**options) -> keras_vit.ViT:
    preprocessing = Preprocessing(image_size=32)
    return tiny(**{"num_classes": 3, "preprocessing": preprocessing, **options})


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("format", PATHS)
def test_the_main_output_comes_first(format, probabilities, tmp_path, rng):
    path = tmp_path / PATHS[format]
    keras_vit.export(
        make_model(class_names=NAMES),
        path,
        format=format,
        attention=True,
        probabilities=probabilities,
        report=False,
    )
    images = rng.normal(size=(1, 32, 32, 3)).astype("float32")
    main = "probabilities" if probabilities else "logits"
    assert [*read_back(format, path, images)] == [main, "attention"]


@pytest.mark.parametrize("quantization", ["float32", "dynamic_int8"])
def test_the_main_output_of_a_litert_file_comes_first(tmp_path, rng, quantization):
    from ai_edge_litert.interpreter import Interpreter

    model, path = make_model(), tmp_path / "model.tflite"
    keras_vit.export(
        model,
        path,
        attention=True,
        quantization=quantization,
        images=PICTURES,
        report=False,
    )
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    details = interpreter.get_output_details()
    assert [one["shape"].tolist() for one in details] == [[1, 3], [1, 4, 4]]
    image = rng.normal(size=(1, 32, 32, 3)).astype("float32")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    by_name = interpreter.get_signature_runner()(images=image)
    for name, one in zip(("logits", "attention"), details, strict=True):
        found = interpreter.get_tensor(one["index"])
        np.testing.assert_array_equal(by_name[name], found)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
@pytest.mark.parametrize("names", [None, ("no", "yes")])
def test_one_output_has_two_classes(tmp_path, activation, names):
    model = make_model(
        num_classes=1, class_names=names, classifier_activation=activation
    )
    path = tmp_path / "model.tflite"
    report = keras_vit.export(model, path, images=PICTURES, report=False)
    assert report.outputs["threshold"] == 0.5
    images = np.stack([model.preprocessing(picture) for picture in PICTURES])
    given = model.predict(images, verbose=0)[:, 0].astype("float64")
    yes = given if activation else 1 / (1 + np.exp(-given))
    for form in (model, path):
        for p, row in zip(yes, keras_vit.predict(form, PICTURES), strict=True):
            found = {one.index: one.probability for one in row}
            assert found == pytest.approx({0: 1 - p, 1: p}, abs=1e-4)
            assert row[0].index == int(p > 0.5)
            assert row[0].class_name == (names or "01")[row[0].index]


def test_one_output_is_evaluated_on_two_classes():
    model = make_model(num_classes=1)
    labels = np.arange(len(PICTURES)) % 2
    data = keras_vit.load_data((np.stack(PICTURES), labels))
    images = np.stack([model.preprocessing(picture) for picture in PICTURES])
    right = (model.predict(images, verbose=0)[:, 0] > 0) == labels
    found = keras_vit.evaluate(model, data, part="train")
    count = found.num_images
    expected = {round(found.accuracy * count)}
    assert count <= len(PICTURES) and expected <= set(range(right.sum() + 1))


@pytest.mark.parametrize(
    ("ends", "precision"), [("int8", "int8"), ("int16", "int16x8")]
)
@pytest.mark.parametrize("probabilities", [False, True])
def test_a_file_of_integers_only(tmp_path, ends, precision, probabilities):
    from ai_edge_litert.interpreter import Interpreter

    model, path = make_model(class_names=NAMES), tmp_path / "model.tflite"
    report = keras_vit.export(
        model,
        path,
        quantization=precision,
        calibration=PICTURES,
        input=ends,
        probabilities=probabilities,
        report=True,
        accept_loss=True,
    )
    assert "QUANTIZE" not in report.ops and "DEQUANTIZE" not in report.ops
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    feed, given = (
        of(interpreter)[0]
        for of in (Interpreter.get_input_details, Interpreter.get_output_details)
    )
    for details, said in ((feed, report.inputs), (given, report.outputs)):
        assert details["dtype"].__name__ == said["dtype"] == ends
        assert details["quantization"] == (said["scale"], said["zero_point"])
    assert read_metadata(path)["input"] == report.inputs
    # By the numbers of the report, as a program on a board does it.
    image = model.preprocessing(PICTURES[3])
    integers = np.rint(image / report.inputs["scale"]) + report.inputs["zero_point"]
    limits = np.iinfo(ends)
    interpreter.set_tensor(
        feed["index"], np.clip(integers, limits.min, limits.max)[None].astype(ends)
    )
    interpreter.invoke()
    found = interpreter.get_tensor(given["index"])[0].astype("float32")
    found = (found - report.outputs["zero_point"]) * report.outputs["scale"]
    [row] = keras_vit.predict(path, [PICTURES[3]])
    if probabilities:
        assert row[0].probability == pytest.approx(found.max(), abs=1e-4)
    expected = {
        p.index: p.probability for p in keras_vit.predict(model, [PICTURES[3]])[0]
    }
    for one in row:
        assert one.probability == pytest.approx(expected[one.index], abs=0.15)


@pytest.mark.parametrize(
    "options",
    [
        {"input": "int8"},
        {"input": "int8", "quantization": "dynamic_int8"},
        {"input": "int16", "quantization": "int8", "calibration": PICTURES},
        {"input": "int8", "format": "saved_model"},
    ],
)
def test_integers_need_the_precision_that_computes_in_them(tmp_path, options):
    path = tmp_path / ("m" if "format" in options else "m.tflite")
    with pytest.raises(ValueError, match="is for LiteRT files with quantization="):
        keras_vit.export(make_model(), path, **options)
