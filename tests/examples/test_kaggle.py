"""The examples that act out Kaggle, from train.csv to submission.csv."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import keras
import pytest

import keras_vit
from tests.pictures import digit_pictures

# Nothing here depends on the backend, and torch compiles nothing.
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same on each backend; on torch"
)

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = ("nil", "one", "two")


@pytest.fixture
def competition(tmp_path):
    """The folders of a competition with 60 pictures and a model for it."""
    rows = []
    for number, (picture, label) in enumerate(digit_pictures(60, 3)):
        folder = tmp_path / ("test" if number % 3 == 2 else "train")
        folder.mkdir(exist_ok=True)
        picture.resize((32, 32)).save(folder / f"{number:03d}.jpg")
        rows.append((f"{number:03d}", CLASSES[label], folder.name))
    model = keras_vit.ViT.from_variant("test", num_classes=5)
    model.preprocessing = keras_vit.Preprocessing(image_size=32)
    keras_vit.save(model, tmp_path / "weights.keras")
    return tmp_path, rows


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def run(name, folder, monkeypatch):
    source = (EXAMPLES / name).read_text()
    assert len(source.splitlines()) <= 15
    arguments = [name, str(folder), str(folder / "weights.keras")]
    monkeypatch.setenv("KERAS_VIT_CACHE", str(folder / "cache"))
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.chdir(folder)
    runpy.run_path(str(EXAMPLES / name))


def test_single_label(competition, monkeypatch, capsys):
    folder, rows = competition
    known = [row[:2] for row in rows if row[2] == "train"]
    write(folder / "train.csv", ("image_id", "label"), known)
    sample = [(row[0], "nil") for row in rows if row[2] == "test"][::-1]
    write(folder / "sample_submission.csv", ("image_id", "label"), sample)
    run("kaggle_single_label.py", folder, monkeypatch)
    header, *found = read(folder / "submission.csv")
    assert header == ["image_id", "label"]
    assert [row[0] for row in found] == [row[0] for row in sample]
    assert {row[1] for row in found} <= set(CLASSES)


@pytest.mark.parametrize("layout", ["labels", "columns"])
def test_multi_label(competition, monkeypatch, capsys, layout):
    folder, rows = competition
    several = {"nil": "round", "one": "line", "two": "line round"}
    known = [
        (f"{name}.jpg", several[label]) for name, label, part in rows if part == "train"
    ]
    write(folder / "train.csv", ("image", "labels"), known)
    ids = [f"{row[0]}.jpg" for row in rows if row[2] == "test"]
    header, cells = ("image", "labels"), ("line",)
    if layout == "columns":
        header, cells = ("image", "line", "round"), (0, 0)
    sample = [(own, *cells) for own in ids]
    write(folder / "sample_submission.csv", header, sample)
    run("kaggle_multi_label.py", folder, monkeypatch)
    assert "mean average precision" in capsys.readouterr().out
    first, *found = read(folder / "submission.csv")
    assert tuple(first) == header and [row[0] for row in found] == ids
    if layout == "columns":
        numbers = [float(cell) for row in found for cell in row[1:]]
        assert all(0 <= number <= 1 for number in numbers)
    else:
        assert {row[1] for row in found} <= {"", "line", "round", "line round"}


def test_grouped(competition, monkeypatch, capsys):
    folder, rows = competition
    known = [
        (f"{name}.jpg", label, f"p{int(name) % 17}")
        for name, label, part in rows
        if part == "train"
    ]
    write(folder / "train.csv", ("image", "label", "patient"), known)
    sample = [(row[0], 0, 0, 0) for row in rows if row[2] == "test"]
    write(folder / "sample.csv", ("id", *CLASSES), sample)
    run("kaggle_grouped.py", folder, monkeypatch)
    predicted = [read(folder / f"oof_{fold}.csv")[1:] for fold in range(5)]
    names = [row[0] for part in predicted for row in part]
    assert sorted(names) == sorted(row[0] for row in known)
    patient = {row[0]: row[2] for row in known}
    for part in predicted:
        own = {patient[row[0]] for row in part}
        assert not own & {patient[n] for n in names if n not in {r[0] for r in part}}
    header, *found = read(folder / "submission.csv")
    assert header == ["id", *CLASSES] and len(found) == 20
    for row in found:
        assert sum(map(float, row[1:])) == pytest.approx(1, abs=1e-5)
