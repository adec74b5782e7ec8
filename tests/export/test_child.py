"""The processes that convert."""

from __future__ import annotations

import sys

import keras
import pytest

from keras_vit.export.child import convert, start
from keras_vit.export.request import ExportRequest
from tests.one_backend import ONE_BACKEND
from tests.tiny_model import tiny

pytestmark = ONE_BACKEND


def test_a_file_of_the_user_does_not_stand_in_for_a_module(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('the one of the user')")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.tflite"
    request = ExportRequest(path=path, format="litert")
    metadata = {"input": {}, "output": {"name": "logits"}}
    with pytest.raises(RuntimeError, match=r"No module named .*converters\.nothing"):
        convert(tiny(), tmp_path, path, request, metadata, converter="nothing")


def test_a_process_that_the_system_ended_says_so():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(RuntimeError, match="ended by SIGKILL.*memory"):
        start([sys.executable, "-c", code], "This", keras.backend.backend())
