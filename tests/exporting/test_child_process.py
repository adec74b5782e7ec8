"""The processes that convert."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

from keras_vit.exporting import child_process
from keras_vit.exporting.child_process import start
from keras_vit.exporting.conversion import convert
from keras_vit.exporting.prepared_model import prepare
from keras_vit.exporting.request import ExportRequest
from tests.one_backend import ONE_BACKEND
from tests.tiny_model import tiny

pytestmark = ONE_BACKEND


@pytest.fixture(autouse=True)
def _real_processes(monkeypatch):
    monkeypatch.setattr(child_process, "start", start)


def test_a_file_of_the_user_does_not_stand_in_for_a_module(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('the one of the user')")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.tflite"
    request = ExportRequest(path=path, format="litert")
    with pytest.raises(RuntimeError, match=r"No module named .*exporting\.nothing"):
        convert(prepare(tiny(), request), path, tmp_path, converter="nothing")


def test_a_process_that_the_system_ended_says_so():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(RuntimeError, match="ended by SIGKILL.*memory"):
        start([sys.executable, "-c", code], "This", keras.backend.backend())


def test_nothing_stays_of_an_export_that_is_killed(tmp_path):
    code = (
        "import sys, keras_vit\n"
        "model = keras_vit.ViT.from_variant('S/16', num_classes=3)\n"
        "print('ready', flush=True)\n"
        "keras_vit.export(model, sys.argv[1], format='saved_model')\n"
    )
    scratch, folder = tmp_path / "scratch", tmp_path / "models"
    scratch.mkdir()
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "model")],
        env={
            **os.environ,
            "TMPDIR": str(scratch),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    with parent, parent.stdout as lines:
        assert lines.readline() == b"ready\n"
        # Its child has begun when the job is written.
        wait_for(lambda: list(scratch.glob("*/job.json")))
        parent.kill()
    wait_for(lambda: not any(map(list, map(Path.iterdir, (scratch, folder)))))


def wait_for(condition, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)
