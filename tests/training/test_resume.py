"""Runs that are killed go on at the exact step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.training.checkpoint import (
    FILE_NAME,
    PREVIOUS_NAME,
    Position,
    load_checkpoint,
    read_header,
    save_checkpoint,
)
from keras_vit.training.interruption import EXIT_CODE
from tests.history import read_history

CHILD = Path(__file__).with_name("run_child.py")
FILE = "history.csv"
STEPS = 3 * 9  # 144 training images in batches of 16


def start(output, seconds=0.0):
    root = str(CHILD.parents[2])
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(output), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
    )


def wait_for_steps(process, count):
    for _ in range(count):
        assert process.stdout.readline().strip() == "step", process.stderr.read()


def weights(folder):
    model = keras.models.load_model(folder / "model.keras")
    return {w.path: keras.ops.convert_to_numpy(w.value) for w in model.weights}


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.count("step")


def test_killed_and_terminated_runs_end_bit_equal(tmp_path):
    whole = start(tmp_path / "whole", seconds=1000)
    assert finish(whole) == STEPS

    killed = start(tmp_path / "other")
    step = int(np.random.default_rng().integers(2, 8))
    wait_for_steps(killed, step)
    killed.kill()
    killed.communicate()
    header = read_header(tmp_path / "other" / "checkpoint")
    # A checkpoint after each step; the step itself may be ahead of the last line.
    assert header["position"]["epoch"] == 0
    assert header["position"]["batch"] >= step - 1

    terminated = start(tmp_path / "other")
    wait_for_steps(terminated, 9)
    terminated.send_signal(signal.SIGTERM)
    _, err = terminated.communicate(timeout=300)
    assert terminated.returncode == EXIT_CODE, err

    rest = start(tmp_path / "other")
    assert 0 < finish(rest) < STEPS - 9
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "other")
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value, err_msg=path)
    rows = [
        read_history(tmp_path / name / "history.csv") for name in ("whole", "other")
    ]
    assert rows[0] == rows[1]


@pytest.fixture
def compiled():
    model = keras_vit.ViT.from_variant("test", num_classes=3)
    keras_vit.Recipe(epochs=6, ema_decay=0.9).compile(model, 2)
    model.optimizer.build(model.trainable_variables)
    return model


def test_the_checkpoint_before_a_damaged_one_is_used(compiled, tmp_path):
    for batch in (1, 2):
        position = Position(0, batch)
        save_checkpoint(tmp_path, compiled, position=position, facts={})
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # One bit.
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="goes on from the checkpoint before it"):
        assert load_checkpoint(tmp_path, compiled, facts={}) == Position(0, 1)
    (tmp_path / PREVIOUS_NAME).write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged.*is damaged"):
        load_checkpoint(tmp_path, compiled, facts={})


def test_a_checkpoint_holds_the_averages(compiled, tmp_path):
    save_checkpoint(tmp_path, compiled, position=Position(1), facts={})
    before = [keras.ops.convert_to_numpy(v) for v in compiled.optimizer.variables]
    for variable in compiled.optimizer.variables:
        variable.assign(np.ones(tuple(variable.shape), variable.dtype))
    load_checkpoint(tmp_path, compiled, facts={})
    for variable, value in zip(compiled.optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
