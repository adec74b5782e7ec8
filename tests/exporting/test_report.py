"""Reports beside exported files, and precisions that lose too much."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.exporting.report import ExportReport
from keras_vit.exporting.request_checks import check_thresholds
from keras_vit.exporting.timing import summarize
from keras_vit.exporting.verification import compare
from keras_vit.exporting.verification_pictures import Shown, choose_pictures
from tests.contract import set_random_weights
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

DIGITS = Path(__file__).parents[2] / "saved_models" / "digits" / "model.keras"


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.saving.load_model(DIGITS, compile=False)


@pytest.fixture(scope="module")
def data() -> keras_vit.ImageData:
    return keras_vit.load_data("digits")


@pytest.fixture(scope="module")
def exported(model, data, tmp_path_factory) -> ExportReport:
    path = tmp_path_factory.mktemp("report") / "model.tflite"
    return keras_vit.export(
        model, path, quantization="dynamic_int8", evaluation=data, max_loss=0.005
    )


def test_the_report_has_accuracies_of_file_and_model(model, data, exported):
    assert exported.source == "evaluation" and exported.num_images == len(data.test)
    expected = keras_vit.evaluate(model, data).accuracy
    assert exported.model_accuracy == pytest.approx(expected)
    found = keras_vit.evaluate(exported.path, data).accuracy
    assert exported.accuracy == pytest.approx(found)


def test_the_report_has_latencies_of_both_precisions(exported):
    for latency in (exported.latency, exported.float32_latency):
        assert 0 < latency.median_ms <= latency.p95_ms
        assert latency.batch == latency.threads == 1 and latency.num_calls >= 5
    ratio = exported.latency.median_ms / exported.float32_latency.median_ms
    assert exported.latency_ratio == pytest.approx(ratio) and exported.device


def test_the_report_stands_beside_the_file_to_read_and_to_parse(exported):
    folder = exported.path.parent
    assert {path.name for path in folder.iterdir()} == {
        *("model.tflite", "model.tflite.report.json", "model.tflite.report.md")
    }
    found = json.loads((folder / "model.tflite.report.json").read_text())
    assert found == json.loads(json.dumps(exported.as_json()))
    text = (folder / "model.tflite.report.md").read_text()
    assert text.startswith("# model.tflite\n") and "| FULLY_CONNECTED | " in text
    assert f"{exported.accuracy:.2%}" in text and exported.device in text


def test_the_report_says_the_same_in_some_lines(exported):
    first, *_ = lines = exported.text().splitlines()
    assert first == f"{exported.path}: {exported.num_bytes:,} bytes"
    assert any(f"{exported.accuracy:.2%}" in line for line in lines)


def test_a_report_is_saved_where_one_likes(exported, tmp_path):
    exported.save(tmp_path / "new")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"report.json", "report.md"}


def test_a_planted_bad_calibration_is_refused_unless_accepted(model, data, tmp_path):
    pictures = [np.asarray(picture) for picture in data.train.samples(20)]
    options = {
        "quantization": "int8",
        "calibration": [picture // 8 for picture in pictures],
        "evaluation": data,
        "report": False,
    }
    path = tmp_path / "model.tflite"
    with pytest.raises(RuntimeError, match="loses .*mixed_int8.*--accept-loss"):
        keras_vit.export(model, path, **options)
    assert not list(tmp_path.iterdir())
    accepted = keras_vit.export(model, path, accept_loss=True, **options)
    assert accepted.accuracy < accepted.model_accuracy - 0.01
    assert accepted.latency is None and accepted.latency_ratio is None
    assert list(tmp_path.iterdir()) == [path]


def shown(labels: list[int] | None = None, source: str = "images") -> Shown:
    return Shown(
        source=source,
        pictures=[],
        labels=None if labels is None else np.array(labels),
    )


def one_hot(*classes: int) -> np.ndarray:
    return np.eye(3, dtype="float32")[list(classes)]


EXPECTED = one_hot(*[0, 1] * 100)
ONE_WRONG = np.concatenate([one_hot(2, 2, 2), EXPECTED[3:]])


def test_a_single_output_says_yes_or_no():
    expected, actual = np.array([[-1.0], [2.0], [3.0], [4.0]]), np.array([[1.0]] * 4)
    found = compare(expected, actual, shown([0, 1, 1, 1]), "int8")
    assert (found.top1_agreement, found.model_accuracy) == (0.75, 1.0)
    sigmoid = [1 / (1 + np.exp(-logits)) for logits in (expected, actual)]
    assert compare(*sigmoid, shown(), "int8", "probabilities").top1_agreement == 0.75


def test_a_loss_of_accuracy_is_measured_against_the_model():
    found = compare(EXPECTED, ONE_WRONG, shown([0, 1] * 100), "int8")
    assert (found.model_accuracy, found.accuracy) == (1.0, 0.985)
    with pytest.raises(RuntimeError, match=r"may lose 1.00%.* loses 1.50%"):
        found.check_loss(0.01)
    found.check_loss(0.015)
    found.check_loss(None)  # Accepted.


def test_images_that_the_model_had_wrong_are_no_loss():
    labels = [2, 2, 2, *[1, 0] * 100][:200]
    found = compare(EXPECTED, ONE_WRONG, shown(labels), "int8")
    assert found.accuracy > found.model_accuracy
    found.check_loss(0.0)


def test_without_labels_agreement_counts_and_one_image_may_differ():
    found = compare(EXPECTED, ONE_WRONG, shown(), "int4")
    with pytest.raises(RuntimeError, match="top-1 agreement 98.50%.*'dynamic_int8'"):
        found.check_loss(0.01)
    few = compare(EXPECTED[:5], ONE_WRONG[2:5].repeat(2, 0)[1:], shown(), "int4")
    assert few.top1_agreement < 1.0
    one = compare(EXPECTED[:5], one_hot(0, 1, 0, 1, 2), shown(), "int4")
    one.check_loss(0.01)


def test_only_several_images_tell_that_all_outputs_are_the_same():
    same = compare(one_hot(1, 1), one_hot(1, 1), shown(), "float32")
    assert "same output for each image" in same.warnings[0]
    assert not compare(one_hot(1), one_hot(1), shown(), "float32").warnings


def test_numbers_that_are_none_are_refused_whatever_is_accepted():
    broken = np.full_like(EXPECTED, np.nan)
    found = compare(EXPECTED, broken, shown(source="digits"), "float16")
    with pytest.raises(RuntimeError, match="must give numbers"):
        found.check_loss(None)


def test_embedded_digits_refuse_nothing_and_say_so():
    found = compare(EXPECTED, 1 - EXPECTED, shown(source="digits"), "int8")
    found.check_loss(0.01)
    assert "says little about other pictures" in found.warnings[0]


@pytest.mark.parametrize("max_loss", [-0.1, 1.0, float("nan"), "1"])
def test_a_threshold_is_a_share(max_loss):
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        check_thresholds(max_loss)
    with pytest.raises(ValueError, match="tolerance must be a number"):
        check_thresholds(0.01, "1e-3")


def test_pictures_come_from_what_says_most(model, data):
    pictures = [np.zeros((8, 8), "uint8")] * 2
    samples = np.zeros((3, 8, 8, 1))
    assert choose_pictures(model, None, pictures, samples).source == "images"
    folder = DIGITS.parents[2] / "examples" / "images"
    assert choose_pictures(model, None, str(folder), samples).source == "images"
    assert choose_pictures(model, None, None, samples).source == "calibration"
    assert len(choose_pictures(model, None, None, None).pictures) == 16
    part = choose_pictures(model, data.test, None, samples)
    whole = choose_pictures(model, data, None, None)
    np.testing.assert_array_equal(part.labels, data.test.labels)
    for found in (part, whole):  # With class names and without: of the same pictures.
        np.testing.assert_array_equal(found.pictures[-1], [*data.test.pictures()][-1])
    assert len(part.pictures[10:13]) == 3
    np.testing.assert_array_equal(part.pictures[10:13][1], part.pictures[11])
    assert len(part.pictures) == len(whole.pictures) == len(data.test)
    assert choose_pictures(model, (pictures, [0, 9]), None, None).labels[1] == 9


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        (([np.zeros((8, 8))], [10]), "Labels must be from 0 to 9"),
        (([np.zeros((8, 8))], [1, 2]), "one label per image"),
        (([], np.zeros(0, int)), "at least one picture"),
        ("digits", "evaluation must be what load_data returns"),
    ],
)
def test_evaluation_that_does_not_fit_is_refused(model, evaluation, message):
    with pytest.raises((TypeError, ValueError), match=message):
        choose_pictures(model, evaluation, None, None)


def test_evaluation_of_other_classes_is_refused(model):
    pixels = np.zeros((4, 8, 8, 1), "uint8")
    other = keras_vit.load_data((pixels, [0, 1, 0, 1]), class_names=["ant", "bee"])
    with pytest.raises(ValueError, match="the same classes"):
        choose_pictures(model, other, None, None)
    with pytest.raises(ValueError, match="received both"):
        choose_pictures(model, other, [pixels[0]], None)


def test_features_have_no_accuracy():
    headless = keras_vit.ViT.from_variant("test", num_classes=None)
    with pytest.raises(ValueError, match="without a head"):
        choose_pictures(headless, ([np.zeros((8, 8))], [0]), None, None)


def test_a_report_is_never_overwritten_unasked(tmp_path):
    model = keras_vit.ViT.from_variant(
        "test", num_classes=3, preprocessing=Preprocessing(image_size=32)
    )
    set_random_weights(model)
    (tmp_path / "m.tflite.report.md").write_text("notes")
    with pytest.raises(FileExistsError, match="--no-report"):
        keras_vit.export(model, tmp_path / "m.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite.report.md"]


def test_latency_is_summed_up_in_milliseconds():
    found = summarize([0.001] * 94 + [0.003] * 6, batch=2, threads=1)
    assert found.median_ms == pytest.approx(1.0)
    assert found.p95_ms == pytest.approx(3.0)
    assert found.images_per_second == pytest.approx(2 * 100 / 0.112)
