"""Models that do not say how pictures are preprocessed: arrays as they are."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting.litert.calibration import calibration_images
from keras_vit.exporting.prepared_model import prepare
from keras_vit.exporting.request import ExportRequest
from keras_vit.given_arrays import as_given, in_dtype
from tests.exporting.test_formats import PATHS
from tests.one_backend import ONE_BACKEND
from tests.pictures import write_folder
from tests.tiny_model import tiny

BYTES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), "uint8")
OF_FORMATS = {"litert": "model.tflite", "saved_model": "model", **PATHS}


def of_bytes(dtype: str = "float32", size: int | None = 32) -> keras.Model:
    """Return a model that rescales bytes itself."""
    options = {"image_size": None, "position_grid": (4, 4)} if size is None else {}
    return keras.Sequential(
        [
            keras.Input((size, size, 3), dtype=dtype),
            layers.Rescaling(1 / 255),
            tiny(num_classes=3, **options),
            layers.Softmax(),
        ]
    )


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return of_bytes()


def test_calibration_and_evaluation_are_taken_as_they_are(model, tmp_path):
    request = ExportRequest(path=tmp_path / "m.tflite", format="litert")
    found = calibration_images(list(BYTES), prepare(model, request))
    np.testing.assert_array_equal(found, BYTES)
    assert found.dtype == "float32"


@ONE_BACKEND
def test_a_precision_is_judged_on_the_arrays_in_use(model, tmp_path):
    labels = model.predict(BYTES.astype("float32"), verbose=0).argmax(-1)
    report = keras_vit.export(
        model,
        tmp_path / "m.tflite",
        quantization="int8",
        calibration=list(BYTES),
        evaluation=(BYTES, labels),
        report=False,
    )
    assert report.model_accuracy == 1.0 and report.accuracy >= 0.9


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([Image.fromarray(BYTES[0])], "received Image for one that does not"),
        ([BYTES[0][:20]], r"of shape \(32, 32, 3\), received shape \(20, 32, 3\)"),
        ([BYTES[0][..., :1]], r"received shape \(32, 32, 1\)"),
        ("folder", "Set model.preprocessing = keras_vit.Preprocessing"),
    ],
)
def test_what_would_need_preprocessing_is_refused(model, tmp_path, images, message):
    if images == "folder":
        images = write_folder(tmp_path / "pictures")
    with pytest.raises(ValueError, match=message):
        keras_vit.export(model, tmp_path / "m.tflite", images=images)
    assert not (tmp_path / "m.tflite").exists()


@pytest.mark.parametrize("precision", ["dynamic_int8", "float16"])
def test_no_precision_is_judged_on_made_up_pixels(model, tmp_path, precision):
    with pytest.raises(
        ValueError, match=r"pass images= as arrays of shape \(32, 32, 3"
    ):
        keras_vit.export(model, tmp_path / "m.tflite", quantization=precision)
    assert not list(tmp_path.iterdir())


@ONE_BACKEND
@pytest.mark.parametrize("format", OF_FORMATS)
def test_the_dtype_of_the_model_is_that_of_the_file(format, tmp_path):
    model = of_bytes("uint8")
    path = tmp_path / OF_FORMATS[format]
    report = keras_vit.export(model, path, format=format, report=False)
    assert report.inputs["dtype"] == "uint8" and report.max_difference < 1e-5
    model.preprocessing = Preprocessing(image_size=32, mean=0.0, std=1 / 255)
    ours, its = (
        keras_vit.predict(form, BYTES[:2], preprocessing=model.preprocessing)
        for form in (model, path)
    )
    expected = model.predict(BYTES[:2], verbose=0)
    for row, one, other in zip(expected, ours, its, strict=True):
        assert one[0].probability == pytest.approx(row.max(), abs=1e-5)
        assert other[0].probability == pytest.approx(row.max(), abs=1e-5)


def test_values_that_a_dtype_does_not_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="takes uint8, whole numbers from 0 to 255"):
        keras_vit.export(
            of_bytes("uint8"), tmp_path / "m.tflite", images=[BYTES[0] / 255]
        )
    assert in_dtype(np.array([254.9999, 3.0001]), "uint8").tolist() == [255, 3]
    with pytest.raises(ValueError, match="received float64 values from nan"):
        in_dtype(np.array([np.nan]), "uint8")


def test_a_grey_array_needs_no_axis_of_channels():
    assert as_given(np.ones((4, 5)), (None, None, 1), "float32").shape == (4, 5, 1)


@pytest.mark.parametrize("kind", ["input", "pixels"])
def test_what_a_model_of_bytes_cannot_have_is_refused(kind, tmp_path):
    model = of_bytes("bfloat16" if kind == "input" else "uint8")
    model.preprocessing = Preprocessing(image_size=32)
    options = {} if kind == "input" else {"input": "pixels"}
    message = "images in one of" if kind == "input" else "a model that takes float32"
    with pytest.raises(ValueError, match=message):
        keras_vit.export(model, tmp_path / "m.tflite", **options)


@ONE_BACKEND
@pytest.mark.parametrize("is_inside", [False, True])
def test_models_for_any_size_need_no_preprocessing(is_inside, tmp_path):
    model = of_bytes(size=None)
    if not is_inside:
        model = tiny(num_classes=3, image_size=None, position_grid=(8, 8))
    report = keras_vit.export(model, tmp_path / "m.tflite", batch=None, report=False)
    assert report.inputs["shape"] == [None, None, None, 3]
    assert report.max_difference < 1e-4
