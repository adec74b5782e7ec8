"""Models that say that a picture is of none of their classes."""

import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.data.class_matching import NONE_OF_THESE
from keras_vit.heads.search_head import HeadOptions, search_head
from keras_vit.training.recipes import RECIPES
from keras_vit.web.settings import page_settings
from tests.contract import set_random_weights, to_numpy
from tests.one_backend import ONE_BACKEND

SIZE, RATE = 16, 0.2
COLOURS = ("blue", "green", "red")


def make_model(**options):
    model = keras_vit.ViT.from_variant(
        "test",
        preprocessing=Preprocessing(image_size=SIZE),
        **{"image_size": SIZE, "num_classes": None, **options},
    )
    set_random_weights(model)
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures of three classes that differ in colour."""
    rng = np.random.default_rng(0)
    top = tmp_path_factory.mktemp("photos")
    for number, name in enumerate(COLOURS):
        (top / name).mkdir()
        for i in range(25):
            pixels = rng.integers(0, 150, (20, 24, 3), dtype="uint8")
            pixels[..., number] += 100
            Image.fromarray(pixels).save(top / name / f"{i}.png")
    return keras_vit.load_data(top, validation_fraction=0.4)


@pytest.fixture(scope="module")
def fitted(data):
    options = HeadOptions(
        none_of_these=RATE, dtype="float32", cache=None, verbose=False
    )
    return search_head(make_model(), data, options)


STRANGE = [np.full((20, 20, 3), value, "uint8") for value in (0, 255)]


def answers(model, pictures):
    return [found[0].class_name for found in keras_vit.predict(model, pictures, top=1)]


def test_a_fitted_head_rejects_what_is_strange(data, fitted):
    model = fitted.model
    assert model.class_names == (*COLOURS, NONE_OF_THESE)
    assert model.output_shape == (None, 4)
    assert answers(model, STRANGE) == [NONE_OF_THESE] * 2
    alarms = fitted.report.false_alarms
    assert alarms.asked == RATE and 0 < alarms.observed <= RATE
    assert alarms.text() in fitted.report.text()
    assert fitted.report.as_json()["false_alarms"]["num_images"] == len(data.train)
    features = fitted.read(data.validation)
    pixels, _ = next(iter(data.validation.batches(model.preprocessing, 30)))
    found = to_numpy(model(keras.ops.convert_to_tensor(pixels)))
    expected = fitted.logits(features)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_evaluate_counts_what_is_rejected(data, fitted, tmp_path):
    found = keras_vit.evaluate(fitted.model, data)
    names = answers(fitted.model, [*data.validation.pictures()])
    assert found.rejected == pytest.approx(np.mean([n == NONE_OF_THESE for n in names]))
    right = [COLOURS.index(n) if n in COLOURS else -1 for n in names]
    assert found.accuracy == pytest.approx(np.mean(right == data.validation.labels))
    assert "% rejected as 'none of these'" in found.text()
    assert found.classes_without_images == ()
    keras_vit.save(fitted.model, tmp_path / "model.keras")
    again = keras_vit.evaluate(tmp_path / "model.keras", data)
    assert again.as_json() == pytest.approx(found.as_json())
    plain = keras_vit.changed(fitted.model, rejection_dim=None)
    without = keras_vit.evaluate(plain, data)
    assert without.rejected is None and "rejected" not in without.text()
    assert without.accuracy >= found.accuracy


def test_without_it_the_classes_are_as_before(data, fitted):
    plain = keras_vit.changed(fitted.model, rejection_dim=None)
    assert plain.class_names == COLOURS and plain.output_shape == (None, 3)
    pixels = keras.ops.convert_to_tensor(
        next(iter(data.validation.batches(plain.preprocessing, 8)))[0]
    )
    np.testing.assert_allclose(
        to_numpy(plain(pixels)), to_numpy(fitted.model(pixels))[:, :3], atol=1e-5
    )
    for new in (
        keras_vit.changed(fitted.model, num_classes=5),
        keras_vit.replace_head(fitted.model, 4),
        keras_vit.replace_head(fitted.model, None),
    ):
        assert new.config.rejection_dim is None and new.class_names is None


@pytest.mark.parametrize("options", [{}, {"classifier_activation": "softmax"}], ids=str)
def test_calibrate_adds_it_to_a_trained_model(data, fitted, options, capsys):
    plain = keras_vit.changed(fitted.model, rejection_dim=None, **options)
    copy = keras_vit.calibrate(plain, data, none_of_these=RATE, cache=None)
    assert "held-out pictures of the classes" in capsys.readouterr().out
    assert copy.class_names == (*COLOURS, NONE_OF_THESE)
    assert answers(copy, STRANGE) == [NONE_OF_THESE] * 2
    share = keras_vit.evaluate(copy, data, part="validation").rejected
    assert share is not None and share <= RATE
    rows = [*data.validation.pictures()][:6]
    for was, now in zip(
        *(keras_vit.predict(m, rows, top=4) for m in (plain, copy)), strict=True
    ):
        old = {one.class_name: one.probability for one in was}
        new = {one.class_name: one.probability for one in now}
        ratios = [new[name] / old[name] for name in COLOURS if old[name] > 1e-3]
        powers = np.log(ratios)  # Equal, as far as the temperature is 1.
        assert np.ptp(powers) < 0.5


def test_calibrate_takes_the_place_of_a_former_one(data, fitted):
    again = keras_vit.calibrate(
        fitted.model, data, none_of_these=0.5, cache=None, part="all", verbose=False
    )
    assert again.output_shape == (None, 4)
    assert answers(again, STRANGE) == [NONE_OF_THESE] * 2
    # The temperature alone leaves it.
    rows = [*data.validation.pictures()][:6]
    kept = keras_vit.calibrate(fitted.model, data, verbose=False)
    assert answers(kept, rows) == answers(fitted.model, rows)


def test_another_head_takes_its_place(data, fitted):
    copy = keras_vit.fit_head(
        fitted.model, data, cache=None, verbose=False, dtype="float32"
    )
    assert copy.class_names == COLOURS and copy.config.rejection_dim is None


def test_what_changes_the_features_is_refused(data, fitted, tmp_path):
    model = fitted.model
    with pytest.raises(ValueError, match=r"distances between its .*'image_size'"):
        keras_vit.resize(model, image_size=24)
    with pytest.raises(ValueError, match=r"distances between its .*'pooling'"):
        keras_vit.changed(model, pooling="mean", num_pooled_blocks=1)
    with pytest.raises(ValueError, match="Training changes the features"):
        keras_vit.train(model, data, RECIPES["lora"])
    with pytest.raises(ValueError, match="Training changes the features"):
        RECIPES["linear_probe"].training_copy(model)
    with pytest.raises(ValueError, match=r"fits one model, and model 0 has one"):
        keras_vit.average([model, model])
    same = keras_vit.changed(model, dropout_rate=0.1, lora=keras_vit.LoRA(2))
    assert answers(same, STRANGE) == [NONE_OF_THESE] * 2
    for format in ("timm", "huggingface", "npz"):
        with pytest.raises(ValueError, match="rejection_dim"):
            keras_vit.save(model, tmp_path / format, format)


def test_what_has_no_such_answer_is_refused(data):
    model = make_model()
    fit = {"cache": None, "verbose": False}
    for rate, error in ((0.0, ValueError), (1, ValueError), (True, TypeError)):
        with pytest.raises(error, match="none_of_these is the share"):
            keras_vit.fit_head(model, data, none_of_these=rate, **fit)
    with pytest.raises(ValueError, match="held-out ones, received"):
        keras_vit.fit_head(model, data, none_of_these=0.001, **fit)
    named = replace(data, class_names=("blue", "green", NONE_OF_THESE))
    with pytest.raises(ValueError, match="a class of this name"):
        keras_vit.fit_head(model, named, none_of_these=RATE, **fit)
    pictures = [*data.train.pictures()][:10]
    several = keras_vit.load_data(
        (pictures, np.ones((10, 3))), multi_label=True, class_names=COLOURS
    )
    with pytest.raises(ValueError, match="several labels"):
        keras_vit.fit_head(model, several, none_of_these=RATE, **fit)
    two = make_model(num_classes=3, use_distillation_token=True)
    with pytest.raises(ValueError, match="use_distillation_token=True"):
        keras_vit.calibrate(two, data, none_of_these=RATE, **fit)
    sigmoid = make_model(num_classes=3, classifier_activation="sigmoid")
    with pytest.raises(ValueError, match="classifier_activation='sigmoid'"):
        keras_vit.calibrate(sigmoid, data, none_of_these=RATE, **fit)
    with pytest.raises(ValueError, match="3 classes .* num_classes=4"):
        keras_vit.calibrate(make_model(num_classes=4), data, none_of_these=RATE, **fit)
    for options in (
        {"num_classes": None},
        {"num_classes": 1},
        {"num_classes": 3, "use_distillation_token": True},
        {"num_classes": 3, "classifier_activation": "sigmoid"},
    ):
        with pytest.raises(ValueError, match="rejection_dim"):
            make_model(rejection_dim=4, **options)


@ONE_BACKEND
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("model.tflite", {"quantization": "dynamic_int8"}),
        ("phone.tflite", {"profile": "mobile"}),
        ("model.onnx", {"format": "onnx"}),
    ],
)
def test_files_reject_as_the_model(name, options, data, fitted, tmp_path):
    path = tmp_path / name
    report = keras_vit.export(fitted.model, path, images=STRANGE, **options)
    assert report.path == path
    assert answers(path, STRANGE) == [NONE_OF_THESE] * 2
    found = keras_vit.evaluate(path, data)
    expected = keras_vit.evaluate(fitted.model, data)
    assert found.rejected == pytest.approx(expected.rejected, abs=0.1)
    if name == "model.tflite":  # The page lists it as any class.
        names = page_settings(path, title="")["class_names"]
        assert names == [*COLOURS, NONE_OF_THESE]
    if name == "phone.tflite":  # So do the labels that MediaPipe reads.
        with zipfile.ZipFile(path) as inside:
            labels = inside.read("labels.txt").decode().split("\n")
        assert labels[:4] == [*COLOURS, NONE_OF_THESE]
