"""The command line finds a backend, and is quiet when it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import pytest
from PIL import Image

import keras_vit
from keras_vit import command_start
from keras_vit.cli.command_line import _warnings_as_lines
from keras_vit.command_start import prepare_command
from keras_vit.quiet_start import without_notes

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="the same for each backend"
)


@pytest.fixture
def start(monkeypatch, tmp_path, capsys):
    """Return a function that starts a command with some backends installed."""

    def started(installed, named=None, configured=None):
        monkeypatch.setattr(sys, "argv", ["/usr/bin/keras-vit", "list"])
        monkeypatch.setattr(
            command_start, "find_spec", lambda name: name if name in installed else None
        )
        monkeypatch.setattr(command_start, "quiet_libraries", lambda: None)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if named is not None:
            monkeypatch.setenv("KERAS_BACKEND", named)
        if configured:
            (tmp_path / "keras.json").write_text(f'{{"backend": "{configured}"}}')
        prepare_command()
        return os.environ.get("KERAS_BACKEND"), capsys.readouterr().err

    return started


def test_the_backend_that_is_installed_is_taken_and_said(start):
    backend, said = start(["jax"])
    assert backend == "jax" and "on jax, as KERAS_BACKEND is not set" in said


@pytest.mark.parametrize("configured", ["tensorflow", "jax", "torch"])
def test_what_was_chosen_stays(start, configured):
    assert start(command_start.BACKENDS, configured=configured) == (None, "")
    assert start(command_start.BACKENDS, named="torch") == ("torch", "")


def test_a_file_that_keras_wrote_does_not_bind(start):
    # Keras writes its default there when it is first imported.
    assert start(["torch"], configured="tensorflow")[0] == "torch"


@pytest.mark.parametrize(
    ("installed", "named", "said"),
    [
        ([], None, "pip install 'keras3-vit[tensorflow]'"),
        (["jax"], "tensorfow", "must be one of tensorflow, jax, torch"),
        (["jax"], "torch", "Set KERAS_BACKEND=jax, or install it: pip install"),
        (["jax"], "numpy", "must be one of"),
    ],
)
def test_what_cannot_run_is_one_line(start, capsys, installed, named, said):
    with pytest.raises(SystemExit) as stop:
        start(installed, named)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and said in error and len(error.splitlines()) == 1


def test_another_program_chooses_for_itself(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pytest"])
    monkeypatch.setattr(command_start, "find_spec", lambda name: None)
    prepare_command()


def test_a_misspelled_backend_is_one_line_in_a_process_of_its_own():
    found = subprocess.run(
        [sys.executable, "-m", "keras_vit", "list"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": "tensorfow"},
    )
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_a_command_says_only_its_own_lines(backend):
    found = subprocess.run(
        [sys.executable, "-m", "keras_vit", "info", "saved_models/digits/model.keras"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": ""},
    )
    assert found.returncode == 0 and found.stderr == ""


def test_warnings_of_a_library_stay(capfd):
    with without_notes():
        os.write(2, b"I0000 00:00:1.5 1 port.cc:153] a note\nW0000 disk is full\n")
    assert capfd.readouterr().err == "W0000 disk is full\n"


def test_litert_says_nothing_of_its_own(tmp_path):
    file = tmp_path / "model.tflite"
    keras_vit.export(
        keras_vit.ViT.from_variant(
            "test", preprocessing=keras_vit.Preprocessing(image_size=32)
        ),
        file,
        report=False,
    )
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    found = subprocess.run(
        [sys.executable, "-m", "keras_vit", "predict", str(file), "red.png"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert found.returncode == 0 and found.stderr == ""


def test_a_warning_is_told_once():
    former = warnings.formatwarning
    with _warnings_as_lines():
        told = [
            warnings.formatwarning(UserWarning("slow"), UserWarning, "a.py", line)
            for line in (1, 2)
        ]
    assert told == ["keras-vit: warning: slow\n", ""]
    assert warnings.formatwarning is former
