"""Copies of models whose probabilities say how often they are right."""

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli.command_line import main
from keras_vit.data.sources.digits import load_digits
from keras_vit.inference.predictor import load_predictor
from keras_vit.keras_file import load_keras

COUNT = 240


@pytest.fixture(scope="module")
def data():
    images, labels = load_digits()
    return keras_vit.load_data(
        (images[:COUNT], labels[:COUNT]), validation_fraction=0.5
    )


def make_model(**options):
    options = {"num_layers": 1, "num_classes": 10, **options}
    model = keras_vit.ViT.from_variant(
        "digits", preprocessing=Preprocessing(image_size=16, channels=1), **options
    )
    rng = np.random.default_rng(0)
    model.set_weights([0.2 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """The output folder of a fitted head."""
    model, folder = make_model(num_classes=None), tmp_path_factory.mktemp("fit") / "run"
    keras_vit.fit_head(model, data, output=folder, cache=None, verbose=False, folds=2)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))


def overconfident(run, **options):
    """Return a classifier that is somewhat right, and far too sure."""
    copy = keras_vit.changed(load_keras(run / "model.keras"), **options)
    logits = copy.get_layer("head").logits
    for weight in logits.weights:
        weight.assign(6.0 * weight)
    return copy


def outputs(model, data):
    pixels, _ = next(iter(data.validation.batches(model.preprocessing, 32)))
    return np.asarray(keras.ops.convert_to_numpy(model(pixels)))


def temperature(before, after):
    """Return the number that all logits were divided by."""
    found = float(np.median(before / after))
    largest = np.abs(before).max()
    np.testing.assert_allclose(after * found, before, atol=1e-3 * largest)
    return found


def calibrate(model, data, **options):
    return keras_vit.calibrate(model, data, **{"verbose": False, **options})


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_model_that_is_too_sure_gets_less_so(data, run, activation, capsys):
    model = overconfident(run, classifier_activation=activation)
    before = outputs(model, data)
    copy = calibrate(model, data, verbose=True)
    assert "Temperature" in capsys.readouterr().out
    was, now = (keras_vit.evaluate(m, data, part="validation") for m in (model, copy))
    assert now.loss < was.loss and now.calibration_error < was.calibration_error
    assert now.accuracy == was.accuracy
    assert copy.class_names == model.class_names
    np.testing.assert_array_equal(outputs(model, data), before)  # It stays.
    after = outputs(copy, data)
    if activation is None:
        assert temperature(before, after) > 1.5


def test_each_form_of_a_model_carries_it(data, run, tmp_path):
    copy = calibrate(overconfident(run), data)
    keras_vit.save(copy, tmp_path / "model.keras")
    loaded = load_predictor(tmp_path / "model.keras")
    pixels, _ = next(iter(data.validation.batches(copy.preprocessing, 8)))
    np.testing.assert_allclose(
        loaded.run(np.asarray(pixels)), outputs(copy, data)[:8], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "options",
    [
        {"use_distillation_token": True, "pooling": "token"},
        {"use_head_bias": False},
        {"num_classes": 10, "representation_size": 8},
    ],
    ids=str,
)
def test_all_logits_of_other_heads_are_divided(data, options):
    model = make_model(**options)
    for weight in model.weights:
        if "logits" in weight.path:
            weight.assign(30.0 * weight)
    copy = calibrate(model, data)
    before, after = outputs(model, data), outputs(copy, data)
    assert temperature(before, after) > 2


def test_factors_are_added_to_kernels(data, run):
    model = keras_vit.changed(
        overconfident(run), lora=keras_vit.LoRA(2, layers="head/logits")
    )
    factor = model.get_layer("head").logits.lora_kernel_b
    factor.assign(keras.ops.ones(factor.shape))
    copy = calibrate(model, data)
    before, after = outputs(model, data), outputs(copy, data)
    assert not any("lora" in weight.path for weight in copy.weights)
    assert temperature(before, after) > 1.5


def test_a_yes_or_no_of_its_own_for_each_class(data, run):
    labels = np.eye(10, dtype="f4")[data.train.all_labels]
    labels[:, 0] = np.maximum(labels[:, 0], labels[:, 3])
    images, _ = load_digits()
    several = keras_vit.load_data(
        (images[:COUNT], labels), multi_label=True, validation_fraction=0.5
    )
    model = overconfident(run, classifier_activation="sigmoid")
    model.thresholds = np.linspace(0.02, 0.98, 10)
    copy = calibrate(model, several)
    yes, still = (outputs(m, several) > m.thresholds for m in (model, copy))
    np.testing.assert_array_equal(yes, still)
    assert copy.thresholds != model.thresholds
    targets = several.validation.labels[:32]
    was, now = (np.clip(outputs(m, several), 1e-7, 1 - 1e-7) for m in (model, copy))
    was, now = (np.where(targets > 0, found, 1 - found) for found in (was, now))
    assert -np.log(now).mean() < -np.log(was).mean()
    with pytest.raises(ValueError, match="several labels per image"):
        calibrate(overconfident(run, classifier_activation="softmax"), several)


def test_one_output_says_no_or_yes(data):
    images, labels = load_digits()
    even = keras_vit.load_data(
        (images[:COUNT], labels[:COUNT] % 2), validation_fraction=0.5
    )
    model = make_model(num_classes=1)
    for weight in model.weights:
        if "logits" in weight.path:
            weight.assign(30.0 * weight)
    copy = calibrate(model, even)
    was, now = (keras_vit.evaluate(m, even).loss for m in (model, copy))
    assert now < was


def test_pictures_that_a_run_trained_on_are_refused(data, run, tmp_path):
    copy = calibrate(run, data)
    assert keras_vit.evaluate(copy, data).accuracy > 0.5
    images, labels = load_digits()
    whole = keras_vit.load_data(
        (images[:COUNT], labels[:COUNT]), validation_fraction=0.0
    )
    found = outputs(calibrate(run, whole), data)  # The run knows its validation part.
    np.testing.assert_allclose(found, outputs(copy, data), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match=r"trained on \d+ of the 240 images"):
        calibrate(run / "model.keras", whole, part="all")
    with pytest.raises(ValueError, match="part must be 'validation'"):
        calibrate(run, whole, part="train")
    with pytest.raises(FileNotFoundError, match="output folder of a run"):
        calibrate(tmp_path / "nothing", data)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize`")
def test_what_cannot_be_calibrated_is_refused(data):
    model = make_model()
    images, labels = load_digits()
    whole = keras_vit.load_data((images[:50], labels[:50]), validation_fraction=0.0)
    with pytest.raises(ValueError, match="no validation part"):
        calibrate(model, whole)
    assert calibrate(model, whole, part="all").output_shape == (None, 10)
    with pytest.raises(ValueError, match="num_classes=None"):
        calibrate(make_model(num_classes=None), data)
    with pytest.raises(ValueError, match="quantized"):
        calibrate(keras_vit.changed(model, quantization="int8"), data)
    with pytest.raises(ValueError, match="classifier_activation='tanh'"):
        calibrate(make_model(classifier_activation="tanh"), data)
    with pytest.raises(ValueError, match="4 outputs"):
        calibrate(make_model(num_classes=4), data)
    with pytest.raises(TypeError, match="load_data"):
        calibrate(model, "photos")
    with pytest.raises(TypeError, match="before you export"):
        calibrate(keras.Model(model.inputs, model.outputs), data)
    model.preprocessing = None
    with pytest.raises(ValueError, match="how pictures are preprocessed"):
        calibrate(model, data)


def test_the_command_writes_a_copy(data, run, tmp_path, capsys):
    folder, output = tmp_path / "photos", tmp_path / "calibrated.keras"
    for number, picture in enumerate(data.validation.pictures()):
        path = folder / str(data.validation.labels[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.squeeze(picture)).save(path)
    command = ["calibrate", run, "--data", folder, "--output", output]
    command += ["--part", "all", "--none-of-these", "0.1"]
    assert main([*map(str, command)]) == 0
    assert "held-out pictures of the classes" in capsys.readouterr().out
    assert load_keras(output).class_names[-1] == "none of these"
    assert main([*map(str, command)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*map(str, command[:-6]), "--output", "model.tflite"]) == 2
    assert "is a .keras file" in capsys.readouterr().err
