"""A run that is killed goes on, and the file is that of a run that was not."""

from __future__ import annotations

import subprocess
import sys
import time

import keras_vit
from tests.examples.scripts import EXAMPLES, run
from tests.one_backend import NO_BACKEND
from tests.pictures import truncated_jpeg, write_folder
from tests.site.stand_ins import small_model

pytestmark = NO_BACKEND


def test_a_killed_run_goes_on(tmp_path, monkeypatch, capsys):
    source = write_folder(tmp_path / "photos", count=400)
    truncated_jpeg(source / "broken.jpg")
    model = tmp_path / "model.keras"
    keras_vit.save(small_model(3, class_names=("ant", "bee", "cat")), model)
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    run(monkeypatch, "batch_predict", model, source, whole)
    printed = capsys.readouterr().out
    assert "401 pictures; 1 cannot be read: " in printed
    counted = {row[9:]: int(row[:8]) for row in printed.splitlines() if row[:2] == "  "}
    assert counted["cannot be read"] == 1 and sum(counted.values()) == 401

    script = [sys.executable, EXAMPLES / "batch_predict.py", model, source, killed]
    partial = tmp_path / "killed.csv.partial"
    with subprocess.Popen(
        [*map(str, script), "--batch-size", "1"], stderr=subprocess.DEVNULL
    ) as process:
        while not (partial.exists() and partial.stat().st_size > 2000):
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
    assert partial.exists() and not killed.exists()
    rows = partial.read_text().count("\n") - 1
    assert 0 < rows < 401
    run(monkeypatch, "batch_predict", model, source, killed)
    kept = int(capsys.readouterr().out.split(" pictures, ")[1].split()[0])
    assert rows - 1 <= kept <= rows
    assert not partial.exists()

    def classes(path):
        return [line.split(",")[:2] for line in path.read_text().splitlines()]

    assert classes(killed) == classes(whole)


def test_sets_of_labels_are_counted(tmp_path, monkeypatch, capsys):
    source = write_folder(tmp_path / "photos", count=4)
    truncated_jpeg(source / "broken.jpg")
    model = small_model(2, class_names=("ant", "bee"))
    model.thresholds = (0.0, 1.0)
    keras_vit.save(model, tmp_path / "model.keras")
    given = (tmp_path / "model.keras", source, tmp_path / "labels.csv")
    run(monkeypatch, "batch_predict", *given)
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split(maxsplit=1) for row in rows] == [
        ["4", "ant"],
        ["1", "cannot be read"],
    ]
