"""A data set is looked through before it is trained on."""

from __future__ import annotations

import io
import json

import keras
import numpy as np
import pytest
from PIL import Image, ImageFilter

import keras_vit
from keras_vit.cli import main
from keras_vit.heads.feature_pass import FeatureReader
from keras_vit.inspecting.before_training import before_training
from keras_vit.inspecting.labels import likely_wrong, outliers
from tests.one_backend import ONE_BACKEND
from tests.pictures import digit_pictures

pytestmark = ONE_BACKEND


def texture(seed: int, size: int = 160) -> Image.Image:
    """Return a picture of a kind whose pictures all look alike at a glance."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype="uint8"))
    return noise.filter(ImageFilter.GaussianBlur(1.5))


def encoded(picture: Image.Image, quality: int = 60) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures in two classes, each different."""
    for number in range(12):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        texture(number).save(folder / f"{number}.png")
    return tmp_path / "photos"


def names(check, kind):
    found = check.finding(kind)
    assert found is not None, check.text()
    return [
        sorted(check.pictures[n].name.rpartition("photos/")[2] for n in group)
        for group in found.groups
    ]


def test_of_what_is_right_nothing_is_found(photos):
    check = keras_vit.check_data(photos)
    assert [found.kind for found in check.findings] == ["imbalance"]  # Under ten.
    assert check.counts == {"train": {"cat": 6, "dog": 6}}
    assert check.sizes == {"width": [160] * 3, "height": [160] * 3}
    assert check.formats == {"PNG": 12} and check.aspect_ratios == [1, 1, 1]
    assert "near duplicates" in check.looked_for


@pytest.mark.parametrize(
    "change",
    [
        lambda x: encoded(x),
        lambda x: x.resize((80, 80)),
        lambda x: encoded(x.crop((9, 2, 158, 151))),
        lambda x: x.crop((0, 0, 148, 160)).resize((160, 160)),
    ],
    ids=["encoded", "half", "cropped", "one side cropped"],
)
def test_near_duplicates_are_found_and_nothing_else(photos, change):
    change(texture(0)).save(photos / "cat" / "again.jpg", quality=80)
    assert names(keras_vit.check_data(photos), "near") == [
        ["cat/0.png", "cat/again.jpg"]
    ]
    quick = keras_vit.check_data(photos, near_duplicates=False)
    assert quick.finding("near") is None and "near duplicates" not in quick.looked_for


def test_smooth_pictures_of_one_kind_are_not_equal(tmp_path):
    # Written digits correlate highly, and are two.
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for digit in (1, 3):
        alike = [picture for picture, label in digit_pictures(50) if label == digit]
        for number, picture in enumerate(alike):
            large = picture.resize((128, 128), Image.Resampling.BICUBIC)
            large.save(tmp_path / "photos" / "a" / f"{digit}-{number}.png")
    assert keras_vit.check_data(tmp_path / "photos").finding("near") is None


def test_the_same_shapes_in_another_colour_are_two(photos):
    red, green, blue = texture(0).split()
    grey = red.point(lambda v: v // 2)
    for name, bands in {"x": (red, grey, grey), "y": (grey, grey, red)}.items():
        Image.merge("RGB", bands).save(photos / "cat" / f"{name}.png")
    assert keras_vit.check_data(photos).finding("near") is None


def test_copies_between_parts_and_classes_come_first(photos, tmp_path):
    data = tmp_path / "divided" / "photos"
    (photos / "cat" / "same.png").write_bytes((photos / "dog" / "1.png").read_bytes())
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (data / part / name).mkdir(parents=True)
    for path in photos.glob("*/*.png"):
        (data / "train" / path.parent.name / path.name).write_bytes(path.read_bytes())
    texture(50).save(data / "val" / "dog" / "new.png")
    encoded(texture(2)).save(data / "val" / "cat" / "known.jpg")
    check = keras_vit.check_data(data)
    assert names(check, "between_classes") == [
        ["train/cat/same.png", "train/dog/1.png"]
    ]
    assert names(check, "between_splits") == [["train/cat/2.png", "val/cat/known.jpg"]]
    assert [found.kind for found in check.findings][:2] == [
        "between_classes",
        "between_splits",
    ]
    assert check.counts["validation"] == {"cat": 1, "dog": 1}


def test_poor_pictures_are_found(photos):
    (photos / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    Image.new("RGB", (90, 90), "white").save(photos / "cat" / "white.png")
    soft = np.random.default_rng(60).integers(0, 256, (12, 12), dtype="uint8")
    soft = Image.fromarray(soft).resize((160, 160), Image.Resampling.BICUBIC)
    soft.save(photos / "dog" / "blurred.png")
    texture(61, 400).crop((0, 0, 400, 100)).save(photos / "dog" / "long.png")
    (photos / "dog" / "notes.txt").write_text("none")
    check = keras_vit.check_data(photos)
    assert names(check, "broken") == [["cat/broken.jpg"]]
    assert names(check, "blank") == [["cat/white.png"]]
    assert names(check, "blurred") == [["dog/blurred.png"]]
    assert names(check, "long") == [["dog/long.png"]]
    assert "1 .txt" in check.left_out[0]
    assert "cannot identify" in check.text() or "broken" in check.text()


def test_a_folder_without_classes_and_arrays_are_checked(photos):
    (photos / "cat" / "again.png").write_bytes((photos / "cat" / "0.png").read_bytes())
    check = keras_vit.check_data(photos / "cat")
    assert check.class_names == () and check.finding("imbalance") is None
    assert names(check, "equal") == [["cat/0.png", "cat/again.png"]]
    pixels = np.stack([np.asarray(texture(n)) / 255 for n in (1, 2, 1)])
    in_memory = keras_vit.check_data((pixels.astype("float32"), [0, 1, 1]))
    assert in_memory.finding("between_classes").groups == ((0, 2),)
    assert in_memory.formats == {"array": 3} and in_memory.finding("blank") is None


def test_the_command_writes_a_page_with_the_pictures(photos, tmp_path, capsys):
    hostile = photos / "cat" / "<b>&.png"
    hostile.write_bytes((photos / "cat" / "0.png").read_bytes())
    page = tmp_path / "report.html"
    assert main(["check", str(photos), "--output", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    equal = next(one for one in found["findings"] if one["kind"] == "equal")
    assert {x["class"] for x in equal["groups"][0]["pictures"]} == {"cat"}
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 2
    assert "<b>&.png" not in text and "&lt;b&gt;&amp;.png" in text
    assert "://" not in text and "<script" not in text
    again = ["check", str(photos), "--quick", "--output", str(page)]
    assert main(again) == 2
    assert "exists. Choose another path" in capsys.readouterr().err
    assert page.read_text() == text
    assert main([*again, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "No folder 'nowhere'"),
        (["digits", "--output", "report.pdf"], "ends in .html"),
        (["digits", "--weights", "nowhere.keras"], "nowhere.keras"),
    ],
)
def test_what_cannot_be_checked_is_one_line(arguments, said, capsys):
    assert main(["check", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_wrong_labels_and_outliers_are_found_by_features(tmp_path):
    rng = np.random.default_rng(0)
    # Dark and bright pictures: any features tell.
    pixels = rng.integers(0, 60, (60, 32, 32, 3), dtype="uint8")
    labels = np.arange(60) % 2
    pixels[labels == 1] += 190
    given = labels.copy()
    given[[4, 9]] = 1 - given[[4, 9]]
    model = keras_vit.ViT.from_variant(
        "test", preprocessing=keras_vit.Preprocessing(image_size=32)
    )
    check = keras_vit.check_data((pixels, given), model=model, near_duplicates=False)
    wrong = check.finding("wrong_labels")
    assert wrong is not None and {n for (n,) in wrong.groups} == {4, 9}
    assert "labelled 0, looks like 1" in wrong.notes[0]


def test_features_are_those_that_a_head_is_fitted_on(monkeypatch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (40, 32, 32, 3), dtype="uint8")
    labels = np.arange(40) % 2
    pixels[labels == 1] += 190
    model = keras_vit.ViT.from_variant(
        "test",
        num_classes=None,
        preprocessing=keras_vit.Preprocessing(image_size=32),
    )
    data = keras_vit.load_data((pixels, labels), validation_fraction=0)
    keras_vit.fit_head(model, data, verbose=False)
    monkeypatch.setattr(FeatureReader, "_compute", None)  # All of them are kept.
    check = keras_vit.check_data(data, model=model, near_duplicates=False)
    assert "wrong labels" in check.looked_for


def test_a_model_without_preprocessing_is_refused_early():
    model = keras_vit.ViT.from_variant("test")
    with pytest.raises(ValueError, match="the model does not say it. Set"):
        keras_vit.check_data("digits", model=model)
    with pytest.raises(TypeError, match="features of a keras_vit.ViT, received"):
        keras_vit.check_data("digits", model=keras.Sequential())


def test_labels_are_not_judged_by_features_that_tell_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype="uint8")
    model = keras_vit.ViT.from_variant(
        "test", preprocessing=keras_vit.Preprocessing(image_size=32)
    )
    data = pixels, np.arange(40) % 2
    check = keras_vit.check_data(data, model=model, near_duplicates=False)
    assert check.finding("wrong_labels") is None
    assert "no better than chance" in check.finding("labels_unjudged").title
    assert "wrong labels" not in check.looked_for


def test_likely_wrong_is_confident_learning():
    probabilities = np.array(
        [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.45, 0.55], [0.2, 0.8], [0.1, 0.9]]
    )
    # As sure of class 1 as it is of what is called 1 (0.75): only the third picture.
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert likely_wrong(probabilities, labels).tolist() == [2]


def test_an_outlier_is_far_from_all():
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.1, (200, 8)) + np.eye(8)[rng.integers(0, 3, 200)]
    features[7] = 3 * np.eye(8)[7]
    assert outliers(features).tolist() == [7]
    assert not len(outliers(features[:12]))


def test_what_training_says_before_it_begins():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype="uint8")
    labels = np.r_[np.zeros(38, "int64"), 1, 2]
    held_out = pixels[:3], labels[:3]
    pixels[5] = pixels[38]
    data = keras_vit.load_data(
        {"train": (pixels, labels), "validation": held_out}, class_names=list("abc")
    )
    torn, leaked, rare = before_training(data)
    assert torn == "1 picture is there again with another label."
    assert leaked.startswith("3 held-out pictures")
    assert rare.endswith("b 1, c 1.")
    assert before_training(keras_vit.load_data("digits")) == []


def test_several_labels_together_are_a_class(photos, capsys):
    paths = sorted(photos.rglob("*.png"))
    labels = ["cat|dog", "cat", "|"] * 4
    rows = [f"{path},{text}" for path, text in zip(paths, labels, strict=True)]
    table = photos.parent / "list.csv"
    table.write_text("\n".join(["path,label", *rows]))
    check = keras_vit.check_data(table, multi_label=True)
    assert check.counts == {"train": {"none of them": 4, "cat": 4, "cat|dog": 4}}
    assert main(["check", str(table), "--multi-label", "--quick"]) == 0
    assert "cat|dog 4" in capsys.readouterr().out
    data = keras_vit.load_data(table, multi_label=True)
    assert before_training(data) == []
