"""Exported files, read back by their own runtimes."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting import export
from keras_vit.exporting.conversion import Converted
from keras_vit.exporting.litert.audit import list_ops
from keras_vit.metadata import read_metadata
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures

NAMES = ["ant", "bee", "cat"]
PHOTOS = load_sample_images().images


def make_model(seed: int = 0, **options) -> keras_vit.ViT:
    options = {
        "num_classes": 3,
        "class_names": NAMES,
        "preprocessing": Preprocessing(image_size=32, crop_ratio=0.9),
        **options,
    }
    model = keras_vit.ViT.from_variant("test", **options)
    rng = np.random.default_rng(seed)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model() -> keras_vit.ViT:
    return make_model()


@pytest.fixture(scope="module")
def tflite(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    return keras_vit.export(model, path, format="litert", images=PHOTOS, report=False)


@pytest.fixture(scope="module")
def saved_model(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    return keras_vit.export(
        model,
        path,
        format="saved_model",
        batch=None,
        images=PHOTOS,
        report=False,
    )


def logits(model, images: np.ndarray) -> np.ndarray:
    return model.predict(images, verbose=0)


def test_the_report_says_what_was_verified(tflite):
    assert tflite.num_images == 2 and tflite.top1_agreement == 1.0
    assert 0 < tflite.max_difference < 1e-4
    assert tflite.num_bytes == tflite.path.stat().st_size
    assert tflite.output == "logits" and not tflite.warnings


def test_a_litert_file_has_one_named_signature(model, tflite, rng):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(tflite.path))
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["images"], "outputs": ["logits"]}
    }
    runner = interpreter.get_signature_runner()
    details = runner.get_input_details()["images"]
    assert details["shape"].tolist() == [1, 32, 32, 3]
    image = rng.normal(size=(1, 32, 32, 3)).astype("float32")
    found = runner(images=image)["logits"]
    np.testing.assert_allclose(found, logits(model, image), atol=1e-4)


def test_a_litert_file_is_one_xnnpack_partition_of_built_in_ops(tflite):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(tflite.path), num_threads=1)
    interpreter.allocate_tensors()
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    assert names.count("DELEGATE") == 1
    ops = list_ops(tflite.path)
    assert ops == tflite.ops and ops["GELU"] == 2
    assert not any(name.startswith("CUSTOM") for name in ops)


def test_class_names_and_preprocessing_are_inside_the_litert_file(model, tflite):
    metadata = read_metadata(tflite.path)
    assert metadata["class_names"] == NAMES
    assert Preprocessing(**metadata["preprocessing"]) == model.preprocessing
    with zipfile.ZipFile(tflite.path) as archive:
        assert archive.read("labels.txt").decode().split() == NAMES


def test_a_saved_model_runs_without_this_package(model, saved_model, tmp_path, rng):
    images = rng.normal(size=(5, 32, 32, 3)).astype("float32")
    np.save(tmp_path / "images.npy", images)
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "loaded = tf.saved_model.load(sys.argv[1])\n"
        "serve = loaded.signatures['serving_default']\n"
        "images = tf.constant(np.load(sys.argv[2]))\n"
        "np.save(sys.argv[3], serve(images=images)['logits'].numpy())\n"
        "assert 'keras_vit' not in sys.modules\n"
    )
    arguments = [saved_model.path, tmp_path / "images.npy", tmp_path / "logits.npy"]
    subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=True)
    found = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(found, logits(model, images), atol=1e-4)


def test_class_names_are_beside_the_saved_model(saved_model):
    assert read_metadata(saved_model.path)["class_names"] == NAMES
    labels = saved_model.path / "assets.extra" / "labels.txt"
    assert labels.read_text().split() == NAMES


def test_exported_files_predict_what_the_model_predicts(model, tflite, saved_model):
    pictures = [PHOTOS[0], PHOTOS[1][:99, :200], np.asarray(PHOTOS[0][..., 0])]
    expected = keras_vit.predict(model, pictures)
    for report in (tflite, saved_model):
        found = keras_vit.predict(report.path, pictures)
        for one, other in zip(expected, found, strict=True):
            assert [p.class_name for p in one] == [p.class_name for p in other]
            np.testing.assert_allclose(
                [p.probability for p in one], [p.probability for p in other], atol=1e-4
            )


@ONE_BACKEND
def test_exported_files_are_evaluated_like_the_model(tmp_path):
    pictures, labels = zip(*digit_pictures(30, classes=3), strict=True)
    pixels = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    data = keras_vit.load_data((pixels, np.array(labels)), class_names=NAMES)
    model = make_model(seed=3)
    path = tmp_path / "model.tflite"
    keras_vit.export(model, path, format="litert", report=False)
    expected, found = (keras_vit.evaluate(form, data) for form in (model, path))
    assert found.accuracy == expected.accuracy
    assert found.loss == pytest.approx(expected.loss, rel=1e-3)


@pytest.mark.parametrize(
    "format", ["litert", pytest.param("saved_model", marks=ONE_BACKEND)]
)
def test_a_file_can_take_pixels_and_preprocess_itself(model, tmp_path, format):
    path = tmp_path / ("pixels" + (".tflite" if format == "litert" else ""))
    size = (90, 120) if format == "litert" else "any"
    report = keras_vit.export(
        model,
        path,
        format=format,
        input="pixels",
        input_size=size,
        images=PHOTOS,
        report=False,
    )
    assert report.inputs["dtype"] == "uint8" and report.inputs["values"] == "pixels"
    small = [np.asarray(Image.fromarray(p).resize((120, 90))) for p in PHOTOS]
    expected = keras_vit.predict(model, small)
    found = keras_vit.predict(path, small)
    for one, other in zip(expected, found, strict=True):
        assert [p.class_name for p in one] == [p.class_name for p in other]
        np.testing.assert_allclose(
            [p.probability for p in one], [p.probability for p in other], atol=0.02
        )


def test_a_mixed_precision_headless_model_with_dynamic_batch_exports(tmp_path):
    model = make_model(
        num_classes=None, class_names=None, dtype="mixed_bfloat16", pooling="mean"
    )
    report = keras_vit.export(
        model,
        tmp_path / "m.tflite",
        format="litert",
        batch=None,
        images=PHOTOS,
        report=False,
    )
    assert report.output == "features" and report.inputs["shape"][0] is None


@ONE_BACKEND
def test_a_failed_verification_leaves_what_was_there(model, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"former")
    # No difference is below zero.
    with pytest.raises(RuntimeError, match="computes something else"):
        keras_vit.export(
            model, path, format="litert", overwrite=True, tolerance=-1.0, images=PHOTOS
        )
    assert path.read_bytes() == b"former"
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]


def test_ops_outside_litert_fail_and_leave_nothing(tmp_path):
    images = keras.Input((4, 4, 1))
    x = keras.layers.Flatten()(images)
    x = keras.layers.Dense(4)(x)
    model = keras.Model(images, keras.ops.erfinv(keras.ops.tanh(x) * 0.5))
    with pytest.raises(RuntimeError, match="failed and nothing was written"):
        keras_vit.export(model, tmp_path / "model.tflite", format="litert")
    assert not list(tmp_path.iterdir())


@ONE_BACKEND
def test_an_untrained_head_is_pointed_out(tmp_path):
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    report = keras_vit.export(
        model, tmp_path / "m.tflite", format="litert", report=False
    )
    assert "says little" in report.warnings[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "png"}, r"one of \['litert', 'saved_model'"),
        ({"format": "saved_model"}, "must be the name of a folder"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"batch": 1.5}, "batch must be at least 1 and whole"),
        ({"input": "pixels", "input_size": 40.5}, "one number of pixels"),
        ({"input": "pixels", "input_size": (40.5, 30)}, "one number of pixels"),
        ({"input_size": 64}, "Add input='pixels'"),
        (
            {"input": "pixels", "input_size": "any"},
            "needs a fixed input_size",
        ),
        ({"images": []}, "at least one picture"),
        (
            {"attention": True, "quantization": "int8", "calibration": PHOTOS},
            "compute the softmax in float",
        ),
    ],
)
def test_requests_that_do_not_fit_are_refused(model, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.export(
            model, tmp_path / "model.tflite", **{"format": "litert", **options}
        )
    assert not list(tmp_path.iterdir())


def unfit_models(model) -> dict[str, keras.Model]:
    images, vectors = keras.Input((32, 32, 3)), keras.Input((4,))
    logits = model(images)
    scaled = type("Scaled", (keras.layers.Layer,), {"call": lambda self, x: 2 * x})
    scaled.__module__ = "__main__"
    return {
        r"inputs with the shapes \[\]": keras.Model(),
        "2 outputs": keras.Model(images, [logits, logits]),
        r"shapes \[.*, .*\]": keras.Model([images, vectors], logits),
        r"shapes \[\(None, 4\)\]": keras.Model(vectors, vectors + 1.0),
        "Scaled. Move the class to a module": keras.Model(images, scaled()(logits)),
    }


def test_models_that_do_not_fit_are_refused(model, tmp_path):
    for message, unfit in unfit_models(model).items():
        with pytest.raises(ValueError, match=message):
            keras_vit.export(unfit, tmp_path / "model.tflite")
    with pytest.raises(TypeError, match="received str. Open"):
        keras_vit.export("model.keras", tmp_path / "model.tflite")


def test_a_file_that_another_process_wrote_meanwhile_is_kept(
    model, tmp_path, monkeypatch
):
    path = tmp_path / "model.onnx"

    def convert(prepared, temporary, scratch, **options):
        temporary.write_bytes(b"later")
        path.write_bytes(b"sooner")
        return Converted()

    def run(temporary, format, pictures, scratch):
        return logits(model, np.stack(pictures))

    monkeypatch.setattr(export, "convert", convert)
    monkeypatch.setattr(export, "run", run)
    with pytest.raises(FileExistsError, match="--overwrite"):
        keras_vit.export(model, path, format="onnx", report=False)
    assert path.read_bytes() == b"sooner" and len([*tmp_path.iterdir()]) == 1


def test_an_existing_file_is_kept(model, tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"former")
    with pytest.raises(FileExistsError, match="--overwrite"):
        keras_vit.export(model, tmp_path / "model.tflite", format="litert")
    assert (tmp_path / "model.tflite").read_bytes() == b"former"


def test_preprocessing_must_exist_to_be_included(tmp_path):
    model = make_model(preprocessing=None)
    with pytest.raises(ValueError, match="without preprocessing"):
        keras_vit.export(model, tmp_path / "m.tflite", format="litert", input="pixels")


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method:UserWarning")
def test_a_quantized_model_is_refused(tmp_path):
    model = make_model()
    model.quantize("int8")
    with pytest.raises(ValueError, match="Export the float model"):
        keras_vit.export(model, tmp_path / "m.tflite", format="litert")


def test_a_folder_that_is_no_saved_model_is_never_replaced(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="never replaced"):
        keras_vit.export(
            model, tmp_path / "thesis", format="saved_model", overwrite=True
        )
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


@ONE_BACKEND
def test_a_file_with_preprocessing_sees_what_the_model_sees(model, tmp_path):
    path = tmp_path / "pixels.tflite"
    keras_vit.export(
        model, path, format="litert", input="pixels", images=PHOTOS, report=False
    )
    wide = [PHOTOS[0][:100], PHOTOS[1][:, :90], PHOTOS[0][:90].astype("float32")]
    for one, other in zip(
        keras_vit.predict(model, wide), keras_vit.predict(path, wide), strict=True
    ):
        assert [p.class_name for p in one] == [p.class_name for p in other]
        np.testing.assert_allclose(
            [p.probability for p in one], [p.probability for p in other], atol=0.03
        )


def test_a_damaged_litert_file_is_named(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"no model at all")
    with pytest.raises(ValueError, match="is no LiteRT model"):
        list_ops(tmp_path / "bad.tflite")
