"""Lists, archives and folds on the command line."""

from __future__ import annotations

import csv
import json
import zipfile

import keras
import pytest

from keras_vit.cli import main
from tests.pictures import write_folder

# Nothing here depends on the backend, and torch compiles nothing.
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on each backend; on torch"
)

LISTED = ("--path-column", "id", "--label-column", "kind", "--ending", "png")


def call(capsys, *arguments):
    """Run the command line in this process: exit code, output, errors."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def train_csv(tmp_path):
    """A list as Kaggle has it, with a patient for each two pictures."""
    rows = ["id,kind,patient"]
    folder = tmp_path / "images"
    for number, path in enumerate(sorted(write_folder(folder).rglob("*.png"))):
        rows.append(f"{number:03d},{path.parent.name},p{number // 2}")
        path.rename(folder / f"{number:03d}.png")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    return tmp_path / "train.csv"


def test_each_fold_is_judged_and_predicted_by_the_model_that_has_not_seen_it(
    train_csv, tmp_path, capsys
):
    listed = (*LISTED, "--image-dir", tmp_path / "images", "--group-column", "patient")
    data = ("--data", train_csv, *listed, "--split-seed", 3, "--folds", 2)
    seen = []
    for fold in (0, 1):
        output = tmp_path / f"fold_{fold}"
        small = ("--variant", "test", "--epochs", 1, "--output", output, "--json")
        code, out, err = call(capsys, "train", *data, "--fold", fold, *small)
        assert code == 0, err
        trained = json.loads(out)
        assert (trained["part"], trained["num_images"]) == ("validation", 20)
        judged = call(capsys, "evaluate", output, *data, "--fold", fold, "--json")[1]
        assert json.loads(judged)["loss"] == pytest.approx(trained["loss"])
        # The run knows its pictures: nobody has to say the folds again.
        plain = ("evaluate", output, "--data", train_csv, *listed, "--json")
        assert json.loads(call(capsys, *plain)[1])["loss"] == trained["loss"]
        other = call(capsys, "evaluate", output, *data, "--fold", 1 - fold)[1]
        assert "TRAINED ON 20 of them" in other
        path = tmp_path / f"oof_{fold}.csv"
        images = ("--path-column", "id", "--ending", "png", *listed[-4:-2])
        command = ("predict", output, train_csv, *images, "--held-out")
        assert call(capsys, *command, "--output", path)[0] == 0
        with path.open() as file:
            seen += [row["path"] for row in csv.DictReader(file)]
    assert sorted(seen) == [f"{number:03d}" for number in range(40)]


def test_an_archive_is_a_source(tmp_path, capsys):
    folder = write_folder(tmp_path / "photos")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in folder.rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path))
    output = tmp_path / "model"
    small = ("--variant", "test", "--epochs", 1, "--output", output)
    code, out, err = call(capsys, "train", "--data", tmp_path / "photos.zip", *small)
    assert code == 0 and "32 train, 8 validation" in out, err
    # The same pictures, wherever they are.
    found = [
        json.loads(call(capsys, "evaluate", output, "--data", source, "--json")[1])
        for source in (folder, tmp_path / "photos.zip")
    ]
    assert found[0]["num_images"] == 8 and found[0]["loss"] == found[1]["loss"]
    written = call(
        capsys,
        *("predict", output, tmp_path / "photos.zip", "--output", tmp_path / "p.csv"),
    )
    assert written[0] == 0 and "40 pictures" in written[1]


BAD = {
    "there are ['id', 'kind', 'patient']": [],
    "of 40 pictures": [*LISTED[:4], "--image-dir", "images"],
    "Pass both (--folds 5 --fold 0)": [*LISTED, "--image-dir", "images", "--folds", 2],
    "from 0 to 1 of 2 folds": [*LISTED, "--folds", 2, "--fold", 2],
    "image_dir (--image-dir) must be": [*LISTED, "--image-dir", "nowhere"],
    "received 10 different ones of class 'digit_": [
        *LISTED,
        *("--image-dir", "images", "--folds", 11, "--fold", 0),
    ],
}


@pytest.mark.parametrize("message", BAD)
def test_lists_that_do_not_fit_end_before_any_work(
    message, train_csv, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    output = ("--output", tmp_path / "new")
    code, out, err = call(capsys, "train", "--data", train_csv, *BAD[message], *output)
    assert code == 2 and message in err and not (tmp_path / "new").exists()
