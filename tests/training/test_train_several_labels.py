"""Training on images with several labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score

import keras_vit
from keras_vit import Preprocessing, Recipe
from keras_vit.cli import main
from keras_vit.keras_file import load_keras
from tests.tiny_model import tiny

NAMES = ("bright", "red")
RECIPE = Recipe(
    epochs=2,
    batch_size=8,
    warmup_epochs=0,
    loss_name="binary_cross_entropy",
)


def draw(count=24):
    rng = np.random.default_rng(0)
    labels = (rng.random((count, 2)) < 0.5).astype("float32")
    pixels = rng.integers(0, 100, (count, 16, 16, 3)).astype("uint8")
    pixels += (80 * labels[:, 0, None, None, None]).astype("uint8")
    pixels[..., 0] += (60 * labels[:, 1, None, None]).astype("uint8")
    return pixels, labels


@pytest.fixture(scope="module")
def data():
    return keras_vit.load_data(
        draw(), class_names=NAMES, multi_label=True, validation_fraction=0.5
    )


def model(**options):
    return tiny(num_classes=2, image_size=16, **options)


def test_each_class_gets_a_threshold_of_its_own(data, tmp_path):
    trained = model()
    result = keras_vit.train(trained, data, RECIPE, output=tmp_path / "run", verbose=0)
    assert {"f1", "val_f1"} <= set(result.history[0])
    best = min(result.history, key=lambda row: row["val_loss"])
    assert result.best_epoch == best["epoch"]
    assert trained.thresholds not in (None, (0.5, 0.5))
    stored = load_keras(tmp_path / "run" / "model.keras")
    assert stored.thresholds == trained.thresholds
    found = keras_vit.evaluate(tmp_path / "run", data)
    assert found.part == "validation"
    # No other threshold has a higher F1 there.
    pictures, labels = [*data.validation.pictures()], data.validation.labels
    for index, row in enumerate(found.labels.classes):
        given = [
            next(one for one in each if one.index == index).probability
            for each in keras_vit.predict(trained, pictures, top=2)
        ]
        others = [f1_score(labels[:, index], given >= one) for one in np.sort(given)]
        assert row.f1 == pytest.approx(max(others), abs=1e-6)
    again = model()
    keras_vit.train(
        again, data, RECIPE, output=tmp_path / "run", resume=True, verbose=0
    )
    assert again.thresholds == trained.thresholds


def test_without_a_validation_part_they_stay_one_half(capsys):
    whole = keras_vit.load_data(
        draw(8), class_names=NAMES, multi_label=True, validation_fraction=0
    )
    trained = model(classifier_activation="sigmoid")
    short = keras_vit.Recipe(
        epochs=1, batch_size=8, warmup_epochs=0, loss_name="asymmetric"
    )
    keras_vit.train(trained, whole, short, verbose=2)
    assert trained.thresholds == (0.5, 0.5)
    assert "no validation part" in capsys.readouterr().out


def test_what_cannot_work_is_refused_before_any_work(data, tmp_path):
    with pytest.raises(ValueError, match="binary_cross_entropy"):
        keras_vit.train(model(), data, Recipe())
    with pytest.raises(ValueError, match="ends with softmax, which chooses one"):
        keras_vit.train(model(classifier_activation="softmax"), data, RECIPE)
    taught = replace(RECIPE, distillation="soft")
    with pytest.raises(ValueError, match="softmax chooses one"):
        keras_vit.train(model(), data, taught, teacher=model())
    several = model()
    several.thresholds = (0.5, 0.5)
    with pytest.raises(ValueError, match="cannot express model.thresholds"):
        keras_vit.save(several, tmp_path / "timm", format="timm")
    pixels, labels = draw()
    one = keras_vit.load_data((pixels, labels[:, 0].astype("int64")))
    with pytest.raises(ValueError, match=r"model\.thresholds = None"):
        keras_vit.train(several, one, Recipe())


def test_one_class_is_a_yes_or_no():
    pixels, labels = draw()
    data = keras_vit.load_data(
        (pixels, labels[:, :1]), class_names=["bright"], multi_label=True
    )
    trained = tiny(num_classes=1, image_size=16)
    keras_vit.train(trained, data, RECIPE, verbose=0)
    assert len(trained.thresholds) == 1 and trained.class_names == ("bright",)
    found = keras_vit.evaluate(trained, data)
    assert [row.class_name for row in found.labels.classes] == ["bright"]
    how = Preprocessing(image_size=16)
    start = tiny(num_classes=None, image_size=16, preprocessing=how)
    fitted = keras_vit.fit_head(start, data, cache=None, verbose=False)
    assert len(fitted.thresholds) == 1
    with pytest.raises(ValueError, match="class_weight is for one label"):
        keras_vit.fit_head(start, data, cache=None, class_weight="balanced")
    [names] = keras_vit.predict(fitted, [np.zeros((16, 16, 3), "uint8")])
    assert [one.class_name for one in names] in ([], ["bright"])


def test_a_fitted_head_trains_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    pixels, labels = draw(16)
    rows = ["path,label"]
    for number, row in enumerate(labels):
        Image.fromarray(pixels[number]).save(tmp_path / f"{number}.png")
        names = [name for name, x in zip(NAMES, row, strict=True) if x]
        rows.append(f"{number}.png,{'|'.join(names) or '|'}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    start = tiny(image_size=16, preprocessing=Preprocessing(image_size=16))
    keras_vit.save(start, tmp_path / "start.keras")
    command = [
        *("train", "--data", tmp_path / "list.csv", "--multi-label"),
        *("--weights", tmp_path / "start.keras", "--recipe", "photos_lora"),
        *("--epochs", 1, "--batch-size", 8, "--output", tmp_path / "run"),
    ]
    assert main([str(one) for one in command]) == 0
    out = capsys.readouterr().out
    assert "head on pooled" in out and "yes    from" in out
    stored = load_keras(tmp_path / "run" / "model.keras")
    assert stored.config.classifier_activation == "sigmoid"
    assert len(stored.thresholds) == 2


def test_the_command_line_takes_a_loss_for_several_labels(tmp_path, capsys):
    pixels, labels = draw(12)
    rows = ["path,bright,red"]
    for number, row in enumerate(labels.astype(int)):
        Image.fromarray(pixels[number]).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{row[0]},{row[1]}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    command = [
        *("train", "--data", tmp_path / "list.csv", "--multi-label"),
        *("--label-column", "bright,red", "--variant", "test", "--image-size", 16),
        *("--patch-size", 8, "--recipe", "small_data", "--epochs", 1),
        *("--batch-size", 4, "--output", tmp_path / "run"),
    ]
    command = [str(one) for one in command]
    assert main([*command, "--set", "loss_name=cross_entropy"]) == 2
    assert "one question per class" in capsys.readouterr().err
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "mean average precision" in out and "yes    from" in out
    card = (tmp_path / "run" / "README.md").read_text()
    assert "binary_cross_entropy" in card and "| yes | bright from" in card
