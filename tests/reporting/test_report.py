"""The report of an evaluation: what is in the page, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli import main
from keras_vit.inference.predictor import Predictor
from keras_vit.reporting import album, class_scores
from keras_vit.reporting.class_scores import confusions_of
from tests.one_backend import NO_BACKEND
from tests.pictures import write_folder
from tests.tiny_model import tiny

pytestmark = NO_BACKEND

STEPS = Preprocessing(image_size=16, crop_ratio=1.0, mean=0.0, std=1 / 255)
EMPTY = {"meta", "img", "br", "rect", "path", "circle", "polyline", "input"}


def answering(outputs, names):
    """Return a model that gives outputs by number: the first pixel of a picture."""
    outputs = np.asarray(outputs, "float32")

    def run(images):
        return outputs[np.asarray(images)[:, 0, 0, 0].round().astype(int)]

    return Predictor(name="fake", run=run, preprocessing=STEPS, class_names=names)


def numbered(count, size=16):
    """Return pictures that are all different; the first pixel is their number."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), "uint8")
    pixels[:, 0, 0, 0] = np.arange(count)
    return pixels


def logits(labels, answers, classes, sure=3.0):
    found = np.zeros((len(labels), classes))
    found[np.arange(len(labels)), answers] = sure + 0.01 * np.arange(len(labels))
    return found


def evaluated(labels, answers, names, **options):
    labels, answers = np.asarray(labels), np.asarray(answers)
    data = keras_vit.load_data(
        (numbered(len(labels)), labels),
        class_names=names,
        validation_fraction=0,
        **options,
    )
    return keras_vit.evaluate(
        answering(logits(labels, answers, len(names)), names), data
    )


class Page(HTMLParser):
    """What a browser finds in a page: elements that close, ids, links, headings."""

    def __init__(self, path):
        super().__init__()
        self.text, self.open, self.ids, self.links = path.read_text(), [], [], []
        self.headings, self.without_alt, self.styled = [], 0, 0
        self.feed(self.text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in EMPTY:
            self.open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        if tag == "a":
            self.links.append(found["href"].removeprefix("#"))
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))
        self.without_alt += tag == "img" and not found.get("alt")
        self.styled += "style" in found or any(name.startswith("on") for name in found)

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag


def written(found, tmp_path, **options):
    page = Page(found.report(tmp_path / "report.html", overwrite=True, **options))
    assert len(set(page.ids)) == len(page.ids) and set(page.links) <= set(page.ids)
    assert page.headings[:2] == [1, 2] and set(np.diff(page.headings)) <= {-1, 0, 1}
    assert page.without_alt == page.styled == 0
    assert "://" not in page.text.replace("http://www.w3.org", "")
    return page


@pytest.fixture(scope="module")
def three():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    answers = np.where(rng.random(90) < 0.7, labels, rng.integers(0, 3, 90))
    found = evaluated(
        labels,
        answers,
        ("cat", "<dog>", "owl"),
        groups=[f"camera {i % 2}" for i in range(90)],
    )
    return found, labels, answers


def test_a_report_has_the_numbers(three, tmp_path):
    found, labels, answers = three
    page = written(found, tmp_path, command="keras-vit evaluate fake")
    right = int(np.sum(labels == answers))
    assert f"{right:,} of 90 train pictures are right." in page.text
    assert "<dog>" not in page.text and "&lt;dog&gt;" in page.text
    report = metrics.classification_report(
        labels, answers, output_dict=True, target_names=["cat", "dog", "owl"]
    )
    for name in ("cat", "dog", "owl"):
        for key in ("precision", "recall", "f1-score"):
            assert f'data-sort="{report[name][key]:.6g}"' in page.text
    matrix = metrics.confusion_matrix(labels, answers)
    cells = re.findall(r'<td class="(?:hit|miss|zero)[^"]*">(\d+)</td>', page.text)
    assert [int(cell) for cell in cells] == matrix.ravel().tolist()
    groups = np.arange(90) % 2
    for group in (0, 1):
        share = np.mean((labels == answers)[groups == group])
        assert f'camera {group}</th><td class="number" data-sort="45">' in page.text
        assert f"{100 * share:.1f}%" in page.text
    assert "keras-vit evaluate fake" in page.text
    assert "Equal and nearly equal ones were looked for" in page.text
    assert "Heat maps read attention" in page.text  # It is no ViT.


def test_what_a_report_is_made_of_is_no_part_of_json_and_text(three):
    found, labels, answers = three
    assert "answers" not in found.as_json() and "answers" not in repr(found)
    assert json.loads(json.dumps(found.as_json()))["num_images"] == 90
    assert found == replace(found, answers=None)
    again = pickle.loads(pickle.dumps(found))
    assert again == found and again.answers is None
    np.testing.assert_array_equal(found.answers.answers, answers)
    assert found.answers.probabilities.dtype == "float32"


def test_no_mistake_one_class_and_a_class_without_pictures(tmp_path):
    page = written(evaluated([0, 1, 1], [0, 1, 1], ("cat", "dog")), tmp_path)
    assert "No mistake in 3 pictures" in page.text
    assert "No mistake: nothing to show" in page.text and 'id="pairs"' not in page.text
    page = written(evaluated([0, 0], [0, 0], ("cat",)), tmp_path)
    assert "2 of 2 train pictures are right." in page.text
    assert 'id="least-sure"' not in page.text
    page = written(evaluated([0, 1], [0, 0], ("cat", "dog", "owl")), tmp_path)
    assert "1 class has no picture here, and no part in the numbers: owl." in page.text
    assert "1 class has neither pictures nor answers." in page.text


def test_a_name_does_not_turn_the_text_around_it(tmp_path):
    page = written(evaluated([0, 1], [1, 0], ("cat\u202egod", "b")), tmp_path)
    assert "\u202e" not in page.text and "cat\\u202egod" in page.text


@pytest.mark.parametrize(
    ("classes", "drawn"),
    [(16, "<table class"), (17, "squares"), (100, "pixels-matrix")],
)
def test_a_matrix_is_drawn_by_its_size(classes, drawn, tmp_path):
    labels = np.arange(2 * classes) % classes
    answers = np.where(labels % 3 == 1, labels - 1, labels)
    names = tuple(f"</script>{i}" for i in range(classes))
    page = written(evaluated(labels, answers, names), tmp_path)
    matrix = page.text[page.text.index('id="confusions"') :]
    assert drawn in matrix[: matrix.index("</section>")]
    assert page.text.count("</script>") == page.text.count("<script")
    # Of 100 each third class, and the last, have no mistake.
    left_out = "34 classes without a mistake are left out" in page.text
    assert left_out == (classes == 100)
    pairs = min(12, len(range(1, classes, 3)))
    assert page.text.count("</b> taken for <b>") == pairs


def test_two_models_are_compared_on_the_same_pictures(three, tmp_path):
    found, labels, answers = three
    names = ("cat", "<dog>", "owl")
    other = np.where(np.arange(90) % 4 == 0, (labels + 1) % 3, labels)
    model = answering(logits(labels, other, 3), names)
    page = written(found, tmp_path, against=model)
    first, second = labels == answers, labels == other
    counts = [int(np.sum(a & b)) for a in (first, ~first) for b in (second, ~second)]
    part = page.text[page.text.index('id="comparison"') :]
    cells = re.findall(r'<td class="number" data-sort="\d+">(\d+)</td>', part)
    assert [int(cell) for cell in cells[:4]] == counts
    for i in range(3):
        for rights in (first, second):
            assert f'data-sort="{rights[labels == i].mean():.6g}"' in part
    evaluation = keras_vit.evaluate(model, found.answers.data)
    again = written(found, tmp_path, against=evaluation)
    assert again.text.count("McNemar") == 1
    elsewhere = evaluated([0, 1], [0, 0], names)
    with pytest.raises(ValueError, match="compared on the same pictures"):
        found.report(tmp_path / "new.html", against=elsewhere)
    with pytest.raises(ValueError, match="does not know what its model says"):
        found.report(tmp_path / "new.html", against=replace(found, answers=None))
    assert not (tmp_path / "new.html").exists()


def test_several_labels(tmp_path):
    rng = np.random.default_rng(1)
    labels = (rng.random((60, 3)) < 0.4).astype("int64")
    labels[:, 2] = 0  # A class that no picture has.
    outputs = 2 * labels - 1 + rng.normal(size=(60, 3))
    model = replace(answering(outputs, ("cat", "dog", "owl")), thresholds=(0.5,) * 3)
    data = keras_vit.load_data(
        (numbered(60), labels),
        class_names=model.class_names,
        multi_label=True,
        validation_fraction=0,
    )
    found = keras_vit.evaluate(model, data)
    page = written(found, tmp_path, against=model)
    for i in range(2):
        expected = metrics.average_precision_score(labels[:, i], outputs[:, i])
        assert f'data-sort="{expected:.6g}"' in page.text
        expected = metrics.precision_score(labels[:, i], outputs[:, i] >= 0)
        assert f'data-sort="{expected:.6g}"' in page.text
    assert page.text.count("Precision over recall of") == 2
    assert 'id="missed"' in page.text and "p = 1.000" in page.text


def test_copies_are_found_and_pictures_that_have_gone(tmp_path):
    folder = write_folder(tmp_path / "photos", 24, classes=2)
    for path in [*folder.rglob("*.png")]:
        part = "val" if int(path.stem) % 3 == 0 else "train"
        new = folder / part / path.parent.name / path.name
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new)
    [first, *_] = sorted((folder / "train" / "digit_0").iterdir())
    (folder / "val" / "digit_0" / "copy.png").write_bytes(first.read_bytes())
    for name in ("digit_0", "digit_1"):
        (folder / name).rmdir()
    model = tiny(
        num_classes=2,
        class_names=("digit_0", "digit_1"),
        preprocessing=Preprocessing(image_size=32),
    )
    found = keras_vit.evaluate(model, keras_vit.load_data(folder))
    page = written(found, tmp_path, near_duplicates=False)
    assert "1 picture is in training and in what is judged, too" in page.text
    assert "1 picture is in training, too" in page.text
    assert "digit_0/copy.png" in page.text and "Heat map by" in page.text
    assert "Equal ones were looked for" in page.text
    (folder / "val" / "digit_0" / "copy.png").unlink()
    [wrong, *_] = (folder / "val" / "digit_1").iterdir()
    wrong.write_bytes(b"no picture")
    page = written(found, tmp_path)
    assert "could not be read when the report was made" in page.text


def test_of_very_many_classes_those_with_mistakes_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(class_scores, "MOST_DRAWN", 70)
    labels = np.arange(200) % 100
    answers = np.where(labels % 3 == 1, labels - 1, labels)
    found = evaluated(labels, answers, tuple(map(str, range(100))))
    confusions = confusions_of(found.answers)
    assert len(confusions.drawn) == 70 and confusions.matrix.shape == (70, 70)
    wrong = np.unique([labels[labels != answers], answers[labels != answers]])
    assert set(wrong) <= set(confusions.drawn)
    expected = metrics.confusion_matrix(labels, answers, labels=confusions.drawn)
    np.testing.assert_array_equal(confusions.matrix, expected)
    page = written(found, tmp_path)
    assert "The 70 classes with most mistakes, of 100." in page.text


def test_a_page_does_not_grow_without_end(three, tmp_path, monkeypatch):
    monkeypatch.setattr(album, "_MOST_BYTES", 3000)
    page = written(three[0], tmp_path)
    assert "left out: the page is full" in page.text
    assert "Some pictures were left out" in page.text
    assert sum(map(len, re.findall(r'src="([^"]+)"', page.text))) <= 3000


class Stream:
    """Pictures that cannot be read by number, as those of TensorFlow Datasets."""

    fingerprint = "0123456789abcdef"


def test_a_stream_is_reported_without_pictures(three, tmp_path):
    found = three[0]
    data = replace(found.answers.data, train=Stream())
    answers = replace(found.answers, images=Stream(), data=data)
    page = written(replace(found, answers=answers), tmp_path)
    assert "Pictures of a stream cannot be read again" in page.text
    assert "A stream cannot be searched for copies" in page.text
    assert "<img" not in page.text and "0123456789abcdef" in page.text


def test_any_classifier_of_keras_is_reported_and_a_backbone_refused(tmp_path):
    layers = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    data = keras_vit.load_data((numbered(12), np.arange(12) % 2), validation_fraction=0)
    found = keras_vit.evaluate(model, data, preprocessing=STEPS)
    page = written(found, tmp_path)
    assert "Heat maps read attention, which a keras_vit.ViT has" in page.text
    assert page.text.count('class="pixels" src="data:image/png') >= 6
    backbone = tiny(num_classes=None, preprocessing=Preprocessing(image_size=32))
    with pytest.raises(ValueError, match="a model without a head"):
        keras_vit.evaluate(backbone, data)


def test_small_pictures_are_drawn_with_their_pixels_and_large_ones_reduced(tmp_path):
    path = tmp_path / "photos" / "cat"
    path.mkdir(parents=True)
    Image.fromarray(numbered(1, 900)[0]).save(path / "large.jpg")
    Image.fromarray(numbered(2)[1]).save(path / "small.png")
    data = keras_vit.load_data(tmp_path / "photos", validation_fraction=0)
    steps = Preprocessing(image_size=16)
    model = replace(answering(np.eye(256, 2), ("cat", "dog")), preprocessing=steps)
    model = replace(model, run=lambda images: np.tile([0.0, 1.0], (len(images), 1)))
    page = written(keras_vit.evaluate(model, data), tmp_path)
    assert len(page.text) < 300_000
    assert page.text.count('class="pixels" src="data:image/png') >= 1


def test_pictures_are_called_by_their_place_in_the_data(tmp_path):
    path = tmp_path / "photos" / "cat"
    path.mkdir(parents=True)
    for name in ("a.jpg", "it's b.png"):
        Image.fromarray(numbered(2)[1]).save(path / name)
    model = answering(np.eye(256, 2), ("cat", "dog"))
    model = replace(model, run=lambda images: np.tile([0.0, 1.0], (len(images), 1)))
    data = keras_vit.load_data(tmp_path / "photos", validation_fraction=0)
    page = written(keras_vit.evaluate(model, data), tmp_path)
    assert ">cat/it&#x27;s b.png<" in page.text
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "photos")
    data = keras_vit.load_data(archive, validation_fraction=0)
    inside = written(keras_vit.evaluate(model, data), tmp_path)
    assert ">cat/a.jpg<" in inside.text
    with Image.open(path / "a.jpg") as picture:
        data = keras_vit.load_data(
            ([picture], [0]), class_names=("cat",), validation_fraction=0
        )
        opened = written(keras_vit.evaluate(model, data), tmp_path)
    assert ">a.jpg<" in opened.text


def test_what_is_refused_is_refused_before_any_work(three, tmp_path, capsys):
    found = three[0]
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists. Choose another path"):
        found.report(path)
    with pytest.raises(ValueError, match="ends in .html"):
        found.report(tmp_path / "report.pdf")
    with pytest.raises(FileExistsError, match="is a folder"):
        (tmp_path / "folder.html").mkdir()
        found.report(tmp_path / "folder.html", overwrite=True)
    with pytest.raises(ValueError, match="Make it with keras_vit.evaluate"):
        replace(found, answers=None).report(tmp_path / "new.html")
    assert path.read_text() == "mine"
    folder = "saved_models/digits"
    given = ["evaluate", folder, "--data", "nowhere", "--report", str(path)]
    assert main(given) == 2 and "exists" in capsys.readouterr().err
    assert main(["evaluate", folder, "--against", folder]) == 2
    assert "received it without --report" in capsys.readouterr().err
    given = ["evaluate", folder, "--report", "new.html", "--against", "nothing"]
    assert main(given) == 2 and "No model 'nothing'" in capsys.readouterr().err


def test_the_command_writes_a_report_of_a_run(tmp_path, capsys):
    path = tmp_path / "digits.html"
    model = "saved_models/digits"
    given = [
        "evaluate",
        model,
        "--report",
        str(path),
        "--against",
        f"{model}/model.tflite",
    ]
    assert main([*given, "--json", "--no-near-duplicates"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["report"] == str(path) and "answers" not in said
    page = Page(path)
    assert "593 of 599 test pictures are right." in page.text
    assert "200 epochs; the model is that of epoch 200." in page.text
    assert "Made by:" in page.text and "keras-vit evaluate saved_models" in page.text
    assert "These pictures do not tell which of both is better." in page.text
    exported = keras_vit.evaluate(
        f"{model}/model.tflite", keras_vit.load_data("digits")
    )
    assert (
        "this is an exported file"
        in written(exported, tmp_path, near_duplicates=False).text
    )
