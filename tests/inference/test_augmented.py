"""Test-time augmentation, against views that are cut and turned by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.inference.predictor import load_predictor
from tests.cli.test_cli import call
from tests.pictures import write_folder


def make(num_classes: int = 3, **options) -> keras_vit.ViT:
    preprocessing = Preprocessing(image_size=28, crop_ratio=0.875, interpolation="box")
    model = keras_vit.ViT.from_variant(
        "test", image_size=28, patch_size=14, num_classes=num_classes,
        preprocessing=options.pop("preprocessing", preprocessing), **options,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    model.set_weights([0.3 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture
def picture(rng) -> np.ndarray:
    return rng.integers(0, 256, (32, 32, 3)).astype("uint8")


def by_number(found: list) -> np.ndarray:
    return np.array([p.probability for p in sorted(found, key=lambda p: p.index)])


def views(picture: np.ndarray, augment: str) -> list[np.ndarray]:
    """Return the crops of a picture of 32 pixels, and their mirror images."""
    places = {"flip": [(2, 2)], "crops": [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]}
    crops = [picture[y : y + 28, x : x + 28] for y, x in places[augment]]
    return [view for crop in crops for view in (crop, crop[:, ::-1])]


@pytest.mark.parametrize("augment", ["flip", "crops"])
@pytest.mark.parametrize("num_classes", [3, 1])
def test_probabilities_are_means_over_the_views(picture, augment, num_classes):
    model = make(num_classes)
    values = [(view / 255.0 - 0.5) / 0.5 for view in views(picture, augment)]
    outputs = np.asarray(model.predict_on_batch(np.array(values, "float32")))
    if num_classes == 1:
        yes = 1 / (1 + np.exp(-outputs))
        wanted = np.concatenate([1 - yes, yes], axis=-1).mean(axis=0)
    else:
        wanted = softmax(outputs).mean(axis=0)
    pictures = [picture, Image.fromarray(picture), np.ascontiguousarray(picture)]
    for found in keras_vit.predict(model, pictures, augment=augment, batch_size=2):
        np.testing.assert_allclose(by_number(found), wanted, atol=1e-5)
    plain = by_number(keras_vit.predict(model, [picture])[0])
    assert np.abs(plain - wanted).max() > 1e-4


def test_a_mirror_image_has_the_same_answer(picture):
    model = make()
    pair = [picture, np.ascontiguousarray(picture[:, ::-1])]
    for augment in ("flip", "crops"):
        one, other = keras_vit.predict(model, pair, augment=augment)
        np.testing.assert_allclose(by_number(one), by_number(other), atol=1e-5)


@pytest.mark.parametrize("augment", ["flip", "crops"])
def test_evaluation_counts_the_means(tmp_path, augment):
    write_folder(tmp_path / "photos")
    data = keras_vit.load_data(tmp_path / "photos")
    model = make(data.num_classes, class_names=data.class_names)
    paths = sorted((tmp_path / "photos").rglob("*.*"))
    found = keras_vit.predict(model, paths, augment=augment)
    right = [
        row[0].class_name == p.parent.name for row, p in zip(found, paths, strict=True)
    ]
    losses = [
        -np.log(next(p.probability for p in row if p.class_name == path.parent.name))
        for row, path in zip(found, paths, strict=True)
    ]
    result = keras_vit.evaluate(model, data, part="all", augment=augment, batch_size=4)
    assert result.num_images == len(paths)
    assert result.accuracy == pytest.approx(np.mean(right))
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_file_that_preprocesses_turns_pictures_and_cuts_none(picture):
    """Its pictures are bytes, as they come."""
    model = make()
    plain = load_predictor(model)
    file = replace(
        plain,
        name="model.tflite",
        run=lambda x: plain.run(np.stack([plain.preprocessing(p) for p in x])),
        pixel_size=(None, None),
    )
    found = keras_vit.predict(file, [picture], augment="flip")[0]
    wanted = keras_vit.predict(model, [picture], augment="flip")[0]
    np.testing.assert_allclose(by_number(found), by_number(wanted), atol=1e-5)
    with pytest.raises(ValueError, match=r"'model.tflite' resizes and cuts"):
        keras_vit.predict(file, [picture], augment="crops")


def test_an_unknown_kind_is_refused(picture):
    with pytest.raises(ValueError, match="augment must be one of"):
        keras_vit.predict(make(), [picture], augment="rotate")


def test_on_the_command_line(tmp_path, picture, capsys):
    keras_vit.save(make(), tmp_path / "model.keras")
    Image.fromarray(picture).save(tmp_path / "one.png")
    model, file = tmp_path / "model.keras", tmp_path / "one.png"
    code, out, err = call(capsys, "predict", model, file, "--tta", "crops", "--json")
    assert code == 0, err
    [[best, *_]] = keras_vit.predict(make(), [picture], augment="crops")
    [[found, *_]] = json.loads(out).values()
    assert found["index"] == best.index
    assert found["probability"] == pytest.approx(best.probability, rel=1e-4)
    photos = write_folder(tmp_path / "photos", classes=3)
    code, out, err = call(
        capsys, "evaluate", model, "--data", photos, "--tta", "flip", "--json"
    )
    assert code == 0 and json.loads(out)["tta"] == "flip", err
    with pytest.raises(SystemExit):
        call(capsys, "predict", model, file, "--tta", "spin")
