"""Files of predictions."""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pytest

import keras_vit
from keras_vit import predict_to_file
from keras_vit.cli import main
from keras_vit.data.trained_pictures import trained_pictures, write_trained_pictures
from keras_vit.image_progress import ImageProgress
from keras_vit.inference.predictor import Predictor
from tests.one_backend import ONE_BACKEND
from tests.pictures import truncated_jpeg, write_folder

pytestmark = ONE_BACKEND

CLASSES = ("digit_0", "digit_1", "digit_2", "digit_3")
PREPROCESSING = keras_vit.Preprocessing(image_size=8, channels=1)


def predictor(seed=0, classes=CLASSES, outputs=4, calls=None) -> Predictor:
    """A model in one line: a product of pixels and a matrix."""
    kernel = np.random.default_rng(seed).normal(size=(64, outputs)) / 4

    def run(images):
        if calls is not None:
            calls.append(len(images))
        return (images.reshape(len(images), -1) @ kernel).astype("float32")

    return Predictor(
        name="a product",
        run=run,
        preprocessing=PREPROCESSING,
        class_names=tuple(classes),
    )


@pytest.fixture
def photos(tmp_path):
    return write_folder(tmp_path / "photos")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names_in(folder):
    return sorted(str(path) for path in folder.rglob("*.png"))


def test_a_file_says_what_predict_says(photos, tmp_path):
    model, output = predictor(), tmp_path / "new" / "out.csv"
    found = predict_to_file(model, photos, output, batch_size=7, verbose=False)
    assert found.num_pictures == 40 and not found.unreadable and not found.num_kept
    rows, names = rows_of(output), names_in(photos)
    assert list(rows[0]) == ["path", "class", "probability", *CLASSES, "error"]
    assert [row["path"] for row in rows] == names
    for row, classes in zip(rows, keras_vit.predict(model, names), strict=True):
        assert row["class"] == classes[0].class_name
        assert float(row["probability"]) == pytest.approx(classes[0].probability)
        for one in classes:
            assert float(row[one.class_name]) == pytest.approx(one.probability)
    assert list(output.parent.iterdir()) == [output]


def test_each_kind_of_source(photos, tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in names_in(photos):
            file.write(name, name[len(str(photos)) + 1 :])
    shown = [name[len(str(photos)) + 1 :] for name in names_in(photos)][::-1]
    rows = "\n".join(f"{name[:-4]}," for name in shown)
    (tmp_path / "test.csv").write_text(f"id,other\n{rows}\n")
    listed = {"columns": {"path": "id"}, "image_dir": photos, "ending": ".png"}
    sources = {
        "folder": (photos, {}, names_in(photos)),
        "pictures": (names_in(photos)[3:5], {}, names_in(photos)[3:5]),
        "archive": (archive, {}, [f"{archive}/{name}" for name in shown[::-1]]),
        "list": (tmp_path / "test.csv", listed, [name[:-4] for name in shown]),
    }
    probability = {}
    for name, (source, options, expected) in sources.items():
        output = tmp_path / f"{name}.csv"
        predict_to_file(predictor(), source, output, verbose=False, **options)
        assert [row["path"] for row in rows_of(output)] == expected
        for row in rows_of(output):
            key = "/".join(row["path"].removesuffix(".png").split("/")[-2:])
            known = probability.setdefault(key, row["probability"])
            assert float(known) == pytest.approx(float(row["probability"]), abs=1e-6)


def test_pictures_that_cannot_be_read_are_named(photos, tmp_path):
    bad = truncated_jpeg(photos / "digit_1" / "half.jpg")
    found = predict_to_file(predictor(), photos, tmp_path / "a.csv", verbose=False)
    assert found.unreadable == (str(bad),) and "1 cannot be read" in found.text()
    rows = rows_of(tmp_path / "a.csv")
    assert len(rows) == 41
    [row] = [row for row in rows if row["error"]]
    assert row["path"] == str(bad) and row["class"] == row["digit_0"] == ""
    again = predict_to_file(predictor(), photos, tmp_path / "a.csv", verbose=False)
    assert again.unreadable == found.unreadable and again.num_kept == 41


def test_a_model_sees_batches_of_one_size(photos, tmp_path):
    # It is compiled for each: damaged files must not make it slow, nor memory grow.
    for number in (3, 4, 21):
        truncated_jpeg(photos / f"digit_{number // 10}" / f"{number}.png")
    calls = []
    model = predictor(calls=calls)
    predict_to_file(model, photos, tmp_path / "a.csv", batch_size=3, verbose=False)
    assert set(calls) == {3}
    rows = rows_of(tmp_path / "a.csv")
    assert [bool(row["error"]) for row in rows].count(True) == 3
    alone = keras_vit.predict(predictor(), [rows[-1]["path"]])[0][0]
    assert float(rows[-1]["probability"]) == pytest.approx(alone.probability)


@pytest.mark.parametrize("kept", [0, 1, 17, 40])
@pytest.mark.parametrize("cut", [0, 5])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.partial"])
def test_a_stopped_file_goes_on(photos, tmp_path, kept, cut, name):
    expected = tmp_path / "whole.csv"
    predict_to_file(predictor(), photos, expected, batch_size=8, verbose=False)
    lines = expected.read_bytes().splitlines(keepends=True)
    begun = b"".join(lines[: kept + 1]) + b"".join(lines[kept + 1 : kept + 2])[:cut]
    (tmp_path / name).write_bytes(begun)
    calls = []
    found = predict_to_file(
        predictor(calls=calls), photos, tmp_path / "a.csv", batch_size=8, verbose=False
    )
    assert found.num_kept == kept
    assert rows_of(tmp_path / "a.csv") == rows_of(expected)
    assert sum(calls) <= 40 - kept + 16
    assert not (tmp_path / "a.csv.partial").exists()


@pytest.mark.parametrize("end", range(0, 120, 7))
def test_a_file_may_be_cut_anywhere(photos, tmp_path, end):
    expected, output = tmp_path / "whole.csv", tmp_path / "a.csv"
    predict_to_file(predictor(), photos, expected, verbose=False)
    output.write_bytes(expected.read_bytes()[:end])
    predict_to_file(predictor(), photos, output, verbose=False)
    assert rows_of(output) == rows_of(expected)


def test_names_with_all_characters(tmp_path, photos):
    for name in ('a "b", c.png', "ü.png", "two\nlines.png"):
        (photos / "digit_0" / name).write_bytes((photos / "digit_0/0.png").read_bytes())
    expected, output = tmp_path / "whole.csv", tmp_path / "a.csv"
    predict_to_file(predictor(), photos, expected, verbose=False)
    assert [row["path"] for row in rows_of(expected)] == names_in(photos)
    content = expected.read_bytes()
    for end in range(content.index(b"two\n") - 3, content.index(b"two\n") + 12):
        output.write_bytes(content[:end])
        predict_to_file(predictor(), photos, output, verbose=False)
        assert output.read_bytes() == content


def test_a_file_of_something_else_stays(photos, tmp_path):
    output = tmp_path / "a.csv"
    predict_to_file(predictor(), photos / "digit_0", output, verbose=False)
    before = output.read_bytes()
    others = {
        "another model or preprocessing": (predictor(1), photos / "digit_0"),
        "must have the columns": (predictor(classes="abcd"), photos / "digit_0"),
        "in the order given": (predictor(), photos / "digit_1"),
    }
    for message, (model, source) in others.items():
        with pytest.raises(ValueError, match=message):
            predict_to_file(model, source, output, verbose=False)
        assert output.read_bytes() == before
        assert [path.name for path in tmp_path.glob("a.*")] == ["a.csv"]
    predict_to_file(predictor(1), photos, output, overwrite=True, verbose=False)
    assert len(rows_of(output)) == 40


@pytest.mark.parametrize("content", [b"\xff\xfe\n1", b"x" * 200_000 + b"\n", b"a,b\n"])
def test_other_files_stay(content, photos, tmp_path):
    output = tmp_path / "a.csv"
    output.write_bytes(content)
    with pytest.raises(ValueError, match="overwrite=True"):
        predict_to_file(predictor(), photos, output, verbose=False)
    assert output.read_bytes() == content


def test_outputs_without_names(photos, tmp_path):
    model = predictor(classes=(), outputs=3)
    predict_to_file(model, photos, tmp_path / "a.csv", verbose=False)
    assert list(rows_of(tmp_path / "a.csv")[0])[3:-1] == ["0", "1", "2"]
    for number, (classes, names) in enumerate(
        [((), ["0", "1"]), (("no", "yes"), ["no", "yes"]), (("yes",), ["yes"])]
    ):
        output = tmp_path / f"{number}.csv"
        one = predictor(classes=classes, outputs=1)
        predict_to_file(one, photos, output, verbose=False)
        row = rows_of(output)[0]
        assert list(row)[3:-1] == names and row["class"] in names
    clash = predictor(classes=("path", "error", "x", "y"))
    predict_to_file(clash, photos, tmp_path / "b.csv", verbose=False)
    assert list(rows_of(tmp_path / "b.csv")[0])[3:5] == ["class path", "class error"]


def test_models_of_all_folds_are_averaged(photos, tmp_path):
    models = [predictor(seed) for seed in range(3)]
    predict_to_file(models, photos, tmp_path / "a.csv", verbose=False)
    alone = []
    for number, model in enumerate(models):
        output = tmp_path / f"{number}.csv"
        predict_to_file(model, photos, output, verbose=False)
        alone.append(
            [[float(row[name]) for name in CLASSES] for row in rows_of(output)]
        )
    mean = np.mean(alone, axis=0)
    rows = rows_of(tmp_path / "a.csv")
    found = [[float(row[name]) for name in CLASSES] for row in rows]
    np.testing.assert_allclose(found, mean, atol=1e-6)
    best = mean.argmax(axis=1)
    assert [row["class"] for row in rows] == [CLASSES[number] for number in best]
    with pytest.raises(ValueError, match="must have the same classes"):
        other = predictor(classes=CLASSES[::-1])
        predict_to_file([models[0], other], photos, tmp_path / "b.csv")
    with pytest.raises(ValueError, match="Nobody knows which pictures a model"):
        predict_to_file(models, photos, tmp_path / "b.csv", held_out=True)


def write_sample(path, header, ids, fill=""):
    lines = [header, *(f"{own}{fill}" for own in ids)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_sample_is_filled(photos, tmp_path):
    ids = [path.stem for path in sorted(photos.rglob("*.png"))][::-1]
    expected = {
        row["path"].split("/")[-1][:-4]: row
        for row in rows_of(
            predict_to_file(predictor(), photos, tmp_path / "a.csv", verbose=False).path
        )
    }
    labels = write_sample(tmp_path / "s.csv", "id,label", ids, ",digit_0")
    output = tmp_path / "submission.csv"
    predict_to_file(predictor(), photos, output, submission=labels, verbose=False)
    assert [tuple(row.values()) for row in rows_of(output)] == [
        (own, expected[own]["class"]) for own in ids
    ]
    header = "image_id,digit_3,digit_0,digit_2,digit_1"
    shares = write_sample(tmp_path / "p.csv", header, ids, ",0,0,0,0")
    output = tmp_path / "shares.csv"
    for _ in range(2):  # The second time it goes on.
        predict_to_file(predictor(), photos, output, submission=shares, verbose=False)
        found = rows_of(output)
        assert ",".join(found[0]) == header
        assert [row["image_id"] for row in found] == ids
        assert found[3]["digit_2"] == expected[ids[3]]["digit_2"]
        content = output.read_bytes()
        output.write_bytes(content[: len(content) // 2])


def test_some_pictures_need_no_id(photos, tmp_path):
    ids = [f"{path.parent.name}/{path.name}" for path in sorted(photos.rglob("*.png"))]
    sample = write_sample(tmp_path / "s.csv", "id,label", ids[:30], ",")
    with pytest.warns(UserWarning, match="10 of 40 pictures have no id"):
        predict_to_file(
            predictor(), photos, tmp_path / "a.csv", submission=sample, verbose=False
        )
    assert len(rows_of(tmp_path / "a.csv")) == 30


BAD_SAMPLES = {
    "2 of 2 with no picture: 'x', 'y'": ("id,label", ["x", "y"], ",digit_0"),
    "Each id must be there once": ("id,label", ["0", "0"], ",digit_0"),
    r"\['zebra'\] that are none": ("id,digit_0,zebra", ["0"], ",0,0"),
    r"none for \['digit_1', 'digit_2', 'digit_3'\]": ("id,digit_0,x", ["0"], ",0,0"),
    "a column to fill": ("id", ["0"], ""),
    "needs an id": ("id,label", ["0", ""], ",digit_0"),
}


@pytest.mark.parametrize("message", BAD_SAMPLES)
def test_samples_that_do_not_fit_are_refused(message, photos, tmp_path):
    sample = write_sample(tmp_path / "s.csv", *BAD_SAMPLES[message])
    with pytest.raises(ValueError, match=message):
        predict_to_file(
            predictor(), photos, tmp_path / "a.csv", submission=sample, verbose=False
        )
    assert not list(tmp_path.glob("a.csv*"))


def test_other_labels_in_a_sample_are_told(photos, tmp_path):
    sample = write_sample(tmp_path / "s.csv", "id,label", range(40), ",7")
    with pytest.warns(UserWarning, match="the sample has .'7'., none of which"):
        predict_to_file(
            predictor(), photos, tmp_path / "a.csv", submission=sample, verbose=False
        )


def test_a_submission_needs_each_picture(photos, tmp_path):
    sample = write_sample(tmp_path / "s.csv", "id,label", ["0", "half"], ",digit_0")
    truncated_jpeg(photos / "digit_0" / "half.jpg")
    options = {"submission": sample, "verbose": False}
    with pytest.warns(UserWarning, match="have no id"):
        with pytest.raises(ValueError, match=r"1 of 2 pictures cannot be read"):
            predict_to_file(predictor(), photos, tmp_path / "a.csv", **options)
    (photos / "digit_1" / "0.png").write_bytes((photos / "digit_0/0.png").read_bytes())
    with pytest.raises(ValueError, match="1 of 2 with several: '0'"):
        predict_to_file(predictor(), photos, tmp_path / "a.csv", **options)


@pytest.fixture
def run_folder(photos, tmp_path):
    """The output of a run on the first of three folds."""
    data = keras_vit.load_data(photos, folds=3, fold=0)
    model = keras_vit.ViT.from_variant("test", num_classes=4, class_names=CLASSES)
    model.preprocessing = keras_vit.Preprocessing(image_size=32)
    folder = tmp_path / "run"
    folder.mkdir()
    model.save(folder / "model.keras")
    write_trained_pictures(folder, trained_pictures(data))
    return folder, data


def test_pictures_of_the_other_folds_are_held_out(run_folder, photos, tmp_path, capsys):
    folder, data = run_folder
    photos = photos.rename(tmp_path / "elsewhere")
    command = ["predict", folder, photos, "--held-out", "--output", tmp_path / "o.csv"]
    assert main([*map(str, command)]) == 0
    assert "o.csv: 14 pictures" in capsys.readouterr().out
    names = {path.name for path in data.validation.pictures()}
    assert {row["path"].split("/")[-1] for row in rows_of(tmp_path / "o.csv")} == names
    seen = [photos / path.parent.name / path.name for path in data.train.pictures()]
    with pytest.raises(ValueError, match="was trained on all 26 pictures"):
        predict_to_file(folder, seen, tmp_path / "b.csv", held_out=True)
    (folder / "pictures.npz").unlink()
    with pytest.raises(ValueError, match="Nobody knows which pictures"):
        predict_to_file(folder, photos, tmp_path / "b.csv", held_out=True)


def test_the_command_line(run_folder, photos, tmp_path, capsys):
    folder, _ = run_folder
    truncated_jpeg(photos / "digit_1" / "half.jpg")
    command = ["predict", folder, photos, "--output", tmp_path / "a.csv"]
    assert main([*map(str, command)]) == 3
    captured = capsys.readouterr()
    assert "a.csv: 41 pictures; 1 cannot be read" in captured.out
    assert "41 pictures in" in captured.err
    assert main([*map(str, command), "--json"]) == 3
    assert '"num_kept": 41' in capsys.readouterr().out
    assert main([*map(str, command[:3]), "--held-out"]) == 2
    assert "Add --output FILE.csv" in capsys.readouterr().err
    assert main([*map(str, command[:3])]) == 2
    assert "with --output FILE.csv" in capsys.readouterr().err


def test_sources_that_are_none_are_refused(photos, tmp_path):
    (tmp_path / "l.csv").write_text("path\nx.png\n")
    (tmp_path / "empty").mkdir()
    output = tmp_path / "a.csv"
    for source, options, message in (
        ([tmp_path / "l.csv", photos], {}, "A list stands alone"),
        ([], {}, "received none"),
        (tmp_path / "empty", {}, "No images in the folder"),
        (photos, {"columns": {"path": "id"}}, "is no list"),
        (tmp_path / "l.csv", {"columns": {"path": "id"}}, r"there are \['path'\]"),
        (photos, {"batch_size": 0}, "batch_size must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            predict_to_file(predictor(), source, output, **options)
    with pytest.raises(FileNotFoundError, match="1 of 1 pictures"):
        predict_to_file(predictor(), tmp_path / "l.csv", output)
    with pytest.raises(FileNotFoundError, match="No file or folder"):
        predict_to_file(predictor(), tmp_path / "gone", output)
    with pytest.raises(ValueError, match="is a .csv file"):
        predict_to_file(predictor(), photos, tmp_path / "a.txt")
    assert not list(tmp_path.glob("a.*"))


def test_progress_says_speed_and_time_left():
    stream = io.StringIO()
    progress = ImageProgress(1000, 100, stream=stream)
    progress._told -= 60
    progress.add(10)
    progress._told -= 60
    progress.add(90)
    progress.close()
    first, second, last = stream.getvalue().splitlines()
    assert first == "110 of 1,000 pictures"
    assert "200 of 1,000 pictures, " in second and "per second, about" in second
    assert last.startswith("100 pictures in ")
