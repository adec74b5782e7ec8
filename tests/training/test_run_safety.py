"""What a run has made is not lost: lock, checkpoint, overwriting, signals."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Recipe
from keras_vit.cli import main
from keras_vit.data.sources.digits import load_digits
from keras_vit.training import keeper, run_folder
from keras_vit.training.interruption import Interruption, Termination
from keras_vit.training.run_lock import LOCK_FILE, locked
from tests.history import read_history
from tests.one_backend import NO_BACKEND
from tests.training.test_train import make_model, stop_after

# Files of a run; that it goes on to the same bits is tested on each backend, in
# test_resume.py.
pytestmark = NO_BACKEND

RECIPE = Recipe(epochs=3, warmup_epochs=1, batch_size=48)


@pytest.fixture(scope="module")
def data():
    images, labels = load_digits()
    return keras_vit.load_data((images[::10], labels[::10]), seed=1)


def train(data, folder, recipe=RECIPE, **options):
    model = make_model(num_classes=data.num_classes)
    return keras_vit.train(model, data, recipe, output=folder, verbose=0, **options)


def stopped(data, folder, monkeypatch, epoch=2):
    """Leave a run that was stopped after an epoch."""
    with monkeypatch.context() as patch:
        stop_after(patch, epoch)
        with pytest.raises(KeyboardInterrupt):
            train(data, folder)


def weights(folder):
    model = keras.models.load_model(folder / "model.keras")
    return [keras.ops.convert_to_numpy(w.value) for w in model.weights]


def assert_same_weights(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("damage", ["lost", "cut", "emptied", "another"])
def test_the_history_comes_from_the_checkpoint(data, tmp_path, monkeypatch, damage):
    whole = train(data, tmp_path / "whole")
    stopped(data, tmp_path / "run", monkeypatch)
    path = tmp_path / "run" / "history.csv"
    text = path.read_text()
    {
        "lost": lambda: path.unlink(),
        "cut": lambda: path.write_text(text[: len(text) // 2]),
        "emptied": lambda: path.write_text(""),
        "another": lambda: path.write_text(text.replace("\n1,", "\n7,")),
    }[damage]()
    result = train(data, tmp_path / "run")
    assert result.history == whole.history and result.best_epoch == whole.best_epoch
    assert read_history(path) == whole.history
    for a, b in zip(
        weights(tmp_path / "run"), weights(tmp_path / "whole"), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_lost_best_model_is_made_anew_or_refused_at_once(
    data, tmp_path, monkeypatch, is_cut
):
    stopped(data, tmp_path, monkeypatch)
    header = json.loads(str(np.load(tmp_path / "checkpoint/checkpoint.npz")["header"]))
    rows = header["position"]["history"]
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))["epoch"]
    path = tmp_path / "model.keras"
    path.write_bytes(path.read_bytes()[:1000]) if is_cut else path.unlink()
    if best == 2:
        assert train(data, tmp_path).best_epoch
        assert weights(tmp_path)
    else:
        monkeypatch.setattr(Recipe, "compile", None)  # No work has begun.
        with pytest.raises(ValueError, match=r"best epoch 1.*Put the file back"):
            train(data, tmp_path)


def test_a_best_model_that_the_checkpoint_does_not_have_is_asked_for(
    data, tmp_path, monkeypatch
):
    def first(row):
        return -row["epoch"]

    monkeypatch.setattr(keeper, "rank", first)
    monkeypatch.setattr(run_folder, "rank", first)
    stopped(data, tmp_path, monkeypatch)
    (tmp_path / "model.keras").unlink()
    with pytest.raises(ValueError, match=r"best epoch 1, is missing.*is of epoch 2"):
        train(data, tmp_path)


def test_a_finished_run_without_its_model_says_so(data, tmp_path):
    train(data, tmp_path)
    (tmp_path / "history.csv").write_text("")
    result = train(data, tmp_path, resume=True)
    assert read_history(tmp_path / "history.csv") == result.history
    assert result.best["epoch"] == result.best_epoch
    (tmp_path / "model.keras").unlink()
    with pytest.raises(ValueError, match="is complete, but model.keras is missing"):
        train(data, tmp_path, resume=True)


@pytest.mark.parametrize("is_complete", [True, False])
def test_a_run_that_fails_at_once_leaves_the_former_one(
    data, tmp_path, monkeypatch, is_complete
):
    if is_complete:
        train(data, tmp_path)
    else:
        stopped(data, tmp_path, monkeypatch)
    names = [p for p in tmp_path.rglob("*") if p.is_file()]
    before = {path: path.read_bytes() for path in names}
    # Small batches: the loss is no number before the end of the first epoch.
    wild = Recipe(
        batch_size=8,
        epochs=2,
        warmup_epochs=0,
        learning_rate=1e30,
        gradient_clip_norm=None,
    )
    with pytest.raises(ValueError, match="The former run in .* is as it was"):
        train(data, tmp_path, wild, overwrite=True)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert after == before


def test_a_new_run_replaces_the_former_one_and_all_of_it(data, tmp_path):
    train(data, tmp_path)
    exported = ["model.tflite", "model_dynamic_int8.tflite", "model.onnx.report.md"]
    for name in exported:
        (tmp_path / name).write_bytes(b"of the former model")
    (tmp_path / "model_of_mine.tflite").write_bytes(b"of another one")
    result = train(
        data, tmp_path, Recipe(epochs=1, warmup_epochs=0, batch_size=48), overwrite=True
    )
    assert len(result.history) == 1
    assert not any((tmp_path / name).exists() for name in exported)
    assert (tmp_path / "model_of_mine.tflite").exists()
    assert not list(tmp_path.glob("checkpoint*"))


def test_a_copy_of_the_data_takes_the_run_up(tmp_path, monkeypatch):
    from tests.pictures import write_folder

    write_folder(tmp_path / "photos")
    stopped(keras_vit.load_data(tmp_path / "photos"), tmp_path / "run", monkeypatch)
    moved = (tmp_path / "photos").rename(tmp_path / "moved")
    result = train(keras_vit.load_data(moved), tmp_path / "run")
    assert len(result.history) == 3


def test_a_second_run_in_a_folder_is_refused(data, tmp_path):
    folder = tmp_path / "run"
    with locked(folder):
        assert (folder / LOCK_FILE).exists()
        child = (
            "from pathlib import Path; from keras_vit.training.run_lock import locked\n"
            f"with locked(Path({str(folder)!r})): pass"
        )
        found = subprocess.run(
            [sys.executable, "-c", child], capture_output=True, text=True
        )
        assert "FileExistsError: Another run writes to" in found.stderr
    assert not folder.exists()  # Nothing came into it.
    train(data, folder)
    assert not (folder / LOCK_FILE).exists()


def test_sigterm_that_a_library_swallowed_stops_the_run(data, tmp_path, monkeypatch):
    termination = Termination()
    former = signal.signal(signal.SIGTERM, termination)

    def swallow(phase, info):
        gc.callbacks.remove(swallow)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        gc.callbacks.append(swallow)
        monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
        gc.collect()
        assert termination.requested
        with Interruption() as interruption:
            assert interruption.requested
        with pytest.raises(SystemExit) as stop:
            train(data, tmp_path)
        assert stop.value.code == 75 and (tmp_path / "checkpoint").is_dir()
    finally:
        signal.signal(signal.SIGTERM, former)


def test_a_log_has_a_line_for_each_epoch(tmp_path, capsys):
    size = ("--image-size", "8", "--patch-size", "4", "--set", "batch_size=600")
    arguments = ("train", "--data", "digits", "--variant", "test", "--epochs", "2")
    assert main([*arguments, *size, "--output", str(tmp_path / "run")]) == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("epoch")]
    assert len(lines) == 2 and lines[1].startswith("epoch 2/2: ")


def test_a_lock_that_a_killed_run_left_does_not_count(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK_FILE).touch()
    size = ("--image-size", "8", "--patch-size", "4", "--set", "batch_size=600")
    arguments = ("train", "--data", "digits", "--variant", "test", "--epochs", "1")
    assert main([*arguments, *size, "--output", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "model.keras").exists()


def test_a_run_that_was_killed_while_it_replaced_another_goes_on(
    data, tmp_path, monkeypatch
):
    whole = train(data, tmp_path / "whole")
    train(data, tmp_path / "run", Recipe(epochs=1, warmup_epochs=0, batch_size=48))
    (tmp_path / "run" / "model.onnx").write_bytes(b"of the former model")
    with monkeypatch.context() as patch:
        patch.setattr(run_folder.os, "replace", _unless_new(os.replace))
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "run", overwrite=True)
    assert run_folder.is_stopped(tmp_path / "run")
    result = train(data, tmp_path / "run")
    assert result.history == whole.history
    assert not list((tmp_path / "run").glob("*.onnx"))
    for a, b in zip(
        weights(tmp_path / "run"), weights(tmp_path / "whole"), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def _unless_new(replace):
    """Stop the process where the new checkpoint takes the place of the former one."""

    def replaced(source, target):
        if str(source).endswith("checkpoint.new"):
            raise KeyboardInterrupt
        replace(source, target)

    return replaced
