"""Models for several labels per picture: judged, predicted and written to files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli import main
from keras_vit.inference.predictor import Predictor, load_predictor
from tests.one_backend import ONE_BACKEND
from tests.tiny_model import tiny

NAMES = ("cat", "dog", "owl")
THRESHOLDS = (0.4, 0.5, 0.55)


def model(**options):
    options = {"num_classes": 3, "class_names": NAMES, **options}
    return tiny(preprocessing=Preprocessing(image_size=32), **options)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 32, 32, 3), dtype="uint8")
    return pixels, (rng.random((40, 3)) < 0.4).astype("int64")


@pytest.fixture(scope="module")
def data(pictures):
    pixels, labels = pictures
    return keras_vit.load_data(
        (pixels, labels), class_names=NAMES, multi_label=True, validation_fraction=0
    )


@pytest.fixture(scope="module")
def several():
    found = model()
    found.thresholds = THRESHOLDS
    return found


@pytest.fixture
def folder(pictures, tmp_path):
    pixels, labels = pictures
    rows = ["path,label"]
    (tmp_path / "photos").mkdir()
    for number in range(12):
        Image.fromarray(pixels[number]).save(tmp_path / "photos" / f"{number:02d}.png")
        names = [name for name, x in zip(NAMES, labels[number], strict=True) if x]
        rows.append(f"photos/{number:02d}.png,{'|'.join(names) or '|'}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    return tmp_path


def probabilities(model, pixels):
    found = load_predictor(model)
    rows = found.run(np.stack([found.prepare(one) for one in pixels]))
    return 1 / (1 + np.exp(-rows.astype("float64")))


def test_scores_are_those_of_scikit_learn(several, data, pictures):
    pixels, labels = pictures
    found = keras_vit.evaluate(several, data)
    given = probabilities(several, pixels)
    answers = (given >= THRESHOLDS).astype(int)
    scores = found.labels
    expected = {
        "accuracy": metrics.accuracy_score(labels, answers),
        "loss": np.mean([metrics.log_loss(*x) for x in zip(labels.T, given.T)]),  # noqa: B905
        "map": metrics.average_precision_score(labels, given, average="macro"),
        "macro": metrics.f1_score(labels, answers, average="macro"),
        "micro": metrics.f1_score(labels, answers, average="micro"),
    }
    assert {
        "accuracy": found.accuracy,
        "loss": found.loss,
        "map": scores.mean_average_precision,
        "macro": scores.f1_macro,
        "micro": scores.f1_micro,
    } == pytest.approx(expected, abs=1e-5)
    each = metrics.f1_score(labels, answers, average=None)
    assert [row.f1 for row in scores.classes] == pytest.approx(each)
    assert [row.threshold for row in scores.classes] == list(THRESHOLDS)
    assert [row.num_images for row in scores.classes] == labels.sum(axis=0).tolist()
    text = found.text().splitlines()
    assert "mean average precision" in text[0] and "all labels right" in text[0]
    assert len(text) == 2 + len(NAMES)
    assert json.loads(json.dumps(found.as_json()))["labels"]["f1_macro"]


def test_data_may_have_fewer_classes_in_another_order(several, pictures):
    pixels, labels = pictures
    part = keras_vit.load_data(
        (pixels, labels[:, [2, 0]]),
        class_names=["owl", "cat"],
        multi_label=True,
        validation_fraction=0,
    )
    found = keras_vit.evaluate(several, part)
    answers = (probabilities(several, pixels) >= THRESHOLDS)[:, [2, 0]].astype(int)
    expected = metrics.f1_score(labels[:, [2, 0]], answers, average=None)
    assert [row.f1 for row in found.labels.classes] == pytest.approx(expected)
    assert found.classes_without_images == ("dog",)


def test_a_model_that_chooses_one_class_is_refused(data):
    for activation in (None, "softmax"):
        one = model(classifier_activation=activation)
        with pytest.raises(ValueError, match="chooses one class per image"):
            keras_vit.evaluate(one, data)
    assert keras_vit.evaluate(model(classifier_activation="sigmoid"), data).labels


def test_sigmoids_in_the_model_give_the_same(several, data):
    twin = keras_vit.changed(several, classifier_activation="sigmoid")
    first, second = (keras_vit.evaluate(x, data) for x in (several, twin))
    assert second.loss == pytest.approx(first.loss, rel=1e-5)
    assert second.labels.classes == first.labels.classes
    flipped = keras_vit.evaluate(several, data, augment="flip")
    assert flipped.labels.f1_macro is not None


def test_predict_names_each_class_from_its_threshold_on(several, pictures):
    pixels, _ = pictures
    given = probabilities(several, pixels)
    for row, found in zip(given, keras_vit.predict(several, pixels), strict=True):
        order = [i for i in np.argsort(-row) if row[i] >= THRESHOLDS[i]]
        assert [one.index for one in found] == order
    [[best, second]] = keras_vit.predict(several, [pixels[0]], top=2)
    assert best.index == given[0].argmax() and second.probability <= best.probability


@pytest.mark.parametrize("threshold", [0.2, 0.8])
def test_yes_may_have_a_threshold_of_its_own(threshold, pictures):
    pixels, labels = pictures
    single = model(num_classes=1, class_names=["no", "yes"])
    single.thresholds = (threshold,)
    answers = probabilities(single, pixels)[:, 0] >= threshold
    found = keras_vit.predict(single, pixels)
    assert [row[0].class_name == "yes" for row in found] == answers.tolist()
    assert all(len(row) == 2 for row in found)
    truth = keras_vit.load_data(
        (pixels, labels[:, 0]), class_names=["no", "yes"], validation_fraction=0
    )
    expected = metrics.accuracy_score(labels[:, 0], answers)
    assert keras_vit.evaluate(single, truth).accuracy == pytest.approx(expected)


def fixed(rows, names=NAMES, thresholds=THRESHOLDS):
    """Return a predictor with fixed probabilities, one row after the other."""
    count = len(rows)
    place = iter(range(10**6))
    return Predictor(
        name="fixed",
        run=lambda x: np.stack([rows[next(place) % count] for _ in range(len(x))]),
        preprocessing=Preprocessing(image_size=8),
        class_names=names,
        activation="sigmoid",
        thresholds=thresholds,
    )


ROWS = np.array([[0.9, 0.6, 0.1], [0.1, 0.1, 0.1], [0.2, 0.7, 0.9]], "float32")


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@ONE_BACKEND
def test_a_file_has_labels_and_all_probabilities(folder):
    target = folder / "found.csv"
    keras_vit.predict_to_file(fixed(ROWS), folder / "photos", target, verbose=False)
    header, *rows = read(target)
    assert header == ["path", "labels", *NAMES, "error"]
    assert [row[1] for row in rows[:3]] == ["cat|dog", "|", "dog|owl"]
    assert [float(x) for x in rows[0][2:5]] == pytest.approx(ROWS[0])
    data = keras_vit.load_data(
        target,
        multi_label=True,
        columns={"label": "labels"},
        image_dir=folder / "photos",
        validation_fraction=0,
    )
    np.testing.assert_array_equal(data.train.labels[:3], ROWS >= THRESHOLDS)


@ONE_BACKEND
@pytest.mark.parametrize(
    ("header", "cell", "expected"),
    [
        (["id", "tags"], "cat|dog", ["cat|dog", "", "dog|owl"]),
        (["id", "tags"], "cat", ["cat dog", "", "dog owl"]),
        (["id", "owl", "cat", "dog"], "0", ["0.1", "0.1", "0.9"]),
    ],
    ids=["bar", "space", "columns"],
)
def test_a_sample_is_filled(header, cell, expected, folder):
    sample = folder / "sample.csv"
    rows = [[f"{i:02d}", *[cell] * (len(header) - 1)] for i in range(12)]
    with sample.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    target = folder / "submission.csv"
    keras_vit.predict_to_file(
        fixed(ROWS), folder / "photos", target, submission=sample, verbose=False
    )
    found = read(target)
    assert found[0] == header and [row[1] for row in found[1:4]] == expected


@ONE_BACKEND
def test_names_that_labels_cannot_be_joined_of_are_refused(folder):
    (folder / "sample.csv").write_text("id,tags\n00,big cat\n")
    names = ("big cat", "dog", "owl")
    with pytest.raises(ValueError, match="is in the names .'big cat'"):
        keras_vit.predict_to_file(
            fixed(ROWS, names), folder / "photos", folder / "x.csv",
            submission=folder / "sample.csv", verbose=False,
        )  # fmt: skip


@ONE_BACKEND
def test_models_of_several_folds_have_mean_thresholds(folder):
    first = fixed(ROWS, thresholds=(0.1, 0.9, 0.5))
    second = fixed(ROWS, thresholds=(0.4, 0.3, 0.05))  # Means: 0.25, 0.6, 0.275.
    target = folder / "mean.csv"
    models = [first, second]
    keras_vit.predict_to_file(models, folder / "photos", target, verbose=False)
    assert [row[1] for row in read(target)[1:4]] == ["cat|dog", "|", "dog|owl"]
    say_yes = [
        replace(
            fixed(ROWS[:, :1], ("no", "yes"), None if one is None else (one,)),
            name=str(one),
        )
        for one in (None, 0.1)
    ]
    target = folder / "yes.csv"
    keras_vit.predict_to_file(say_yes, folder / "photos", target, verbose=False)
    assert [row[1] for row in read(target)[1:4]] == ["yes", "no", "no"]


@ONE_BACKEND
def test_models_of_one_and_of_several_labels_have_no_mean(folder):
    one = Predictor(
        name="one",
        run=lambda x: np.zeros((len(x), 3)),
        preprocessing=Preprocessing(image_size=8),
        class_names=NAMES,
    )
    with pytest.raises(ValueError, match="all name one class"):
        keras_vit.predict_to_file(
            [fixed(ROWS), one], folder / "photos", folder / "x.csv", verbose=False
        )


def call(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_line_from_a_list_to_predictions(folder, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(folder / "cache"))
    keras_vit.save(tiny(preprocessing=Preprocessing(image_size=32)), folder / "w.keras")
    listed = ("--data", folder / "list.csv", "--multi-label")
    split = ("--validation-fraction", 0.25)
    command = ("train", *listed, "--weights", folder / "w.keras")
    head = (*command, "--recipe", "head", "--output", folder / "head", *split)
    code, out, err = call(capsys, *head, "--json")
    assert code == 0, err
    trained = json.loads(out)
    assert trained["labels"]["classes"][0]["class_name"] == "cat"
    card = (folder / "head" / "README.md").read_text()
    assert "mean average precision" in card and "always names" not in card
    code, out, err = call(capsys, "evaluate", folder / "head", *listed, "--json")
    assert code == 0, err
    again = json.loads(out)
    for name in ("accuracy", "loss"):
        assert again[name] == pytest.approx(trained[name], abs=1e-4)
    code, _, err = call(capsys, "evaluate", folder / "head", *listed[:2])
    assert code == 2 and "(--multi-label)" in err
    pictures = sorted((folder / "photos").iterdir())
    code, out, err = call(capsys, "predict", folder / "head", *pictures)
    assert code == 0, err
    code, out, err = call(capsys, "info", folder / "head")
    assert code == 0 and "\nthresholds " in out, err
    code, out, err = call(
        capsys, "predict", folder / "head", folder / "photos",
        "--output", folder / "found.csv",
    )  # fmt: skip
    assert code == 0 and read(folder / "found.csv")[0][1] == "labels", err


def test_none_of_the_classes_is_said(folder, capsys):
    shy = model()
    shy.thresholds = (1.0, 1.0, 1.0)
    keras_vit.save(shy, folder / "shy.keras")
    picture = folder / "photos" / "00.png"
    code, out, _ = call(capsys, "predict", folder / "shy.keras", picture)
    assert code == 0 and out.splitlines()[1].strip() == "none of the classes"
    code, out, _ = call(capsys, "predict", folder / "shy.keras", picture, "--json")
    assert json.loads(out) == {str(picture): []}


def test_a_label_option_without_several_labels_is_refused(folder, capsys):
    code, _, err = call(
        capsys, "evaluate", "x.keras", "--data", folder / "list.csv",
        "--label-separator", ";",
    )  # fmt: skip
    assert code == 2
    code, _, err = call(
        capsys, "train", "--data", folder / "list.csv", "--output", folder / "x",
        "--label-separator", ";",
    )  # fmt: skip
    assert code == 2 and "--multi-label" in err


def test_an_own_model_keeps_its_thresholds_in_its_file(folder, data, several):
    images = keras.Input((32, 32, 3))
    own = keras.Model(images, several(images))
    own.preprocessing, own.class_names = several.preprocessing, NAMES
    own.thresholds = THRESHOLDS
    keras_vit.save(own, folder / "own.keras")
    found = keras_vit.evaluate(folder / "own.keras", data)
    assert found.labels == keras_vit.evaluate(several, data).labels
