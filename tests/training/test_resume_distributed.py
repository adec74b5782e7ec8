"""Runs on several devices and processes go on at the exact step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.data.sources.digits import load_digits
from keras_vit.training.checkpoint import FILE_NAME, SHARDED_NAME, read_header
from keras_vit.training.interruption import EXIT_CODE
from tests.distribution.children import free_ports
from tests.history import read_history

CHILD = Path(__file__).with_name("run_child.py")
BACKEND = keras.backend.backend()
PROCESSES = {"kind": "multi_worker" if BACKEND == "tensorflow" else "data_parallel"}
CUT = {"kind": "model_parallel", "model_devices": 2}


def run(output, options, count, *, devices=1, sigterm_at=0):
    """Run the child in `count` processes and return their exit codes and errors."""
    ports = free_ports(count).split(",")
    several = count > 1
    if BACKEND != "tensorflow":
        ports = ports[:1]
    children = []
    for rank in range(count):
        own = dict(options)
        if several:
            own |= {"num_processes": count, "process_id": rank}
            own["coordinator"] = ",".join(f"127.0.0.1:{port}" for port in ports)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} "
            "--xla_backend_optimization_level=0",
            "DISTRIBUTE": json.dumps(own),
            # One process is told; the others stop with it.
            "SIGTERM_AT": str(sigterm_at if rank == count - 1 else 0),
        }
        children.append(
            subprocess.Popen(
                [sys.executable, str(CHILD), str(output), "1000"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        ends = [child.communicate(timeout=240) for child in children]
    finally:
        for child in children:
            child.kill()
    return [(c.returncode, err) for c, (_, err) in zip(children, ends, strict=True)]


def stop_and_go_on(folder, options, count, devices=1):
    """Run once whole, and once with a SIGTERM in the middle of the second epoch."""
    for code, err in run(folder / "whole", options, count, devices=devices):
        assert code == 0, err
    stopped = {"devices": devices, "sigterm_at": 11}
    for code, err in run(folder / "other", options, count, **stopped):
        assert code == EXIT_CODE, err
    checkpoint = folder / "other" / "checkpoint"
    assert has_checkpoint_of(options, checkpoint)
    position = read_header(checkpoint)["position"]
    assert position["epoch"] == 1 and 2 <= position["batch"] < 9
    for code, err in run(folder / "other", options, count, devices=devices):
        assert code == 0, err


def has_checkpoint_of(options, folder):
    name = SHARDED_NAME if options == CUT else FILE_NAME
    return (folder / name).exists()


def assert_equal(folder):
    rows = [read_history(folder / name / "history.csv") for name in ("whole", "other")]
    assert rows[0] == rows[1]
    expected, found = (
        keras.models.load_model(folder / name / "model.keras", compile=False)
        for name in ("whole", "other")
    )
    for a, b in zip(expected.weights, found.weights, strict=True):
        a, b = (keras.ops.convert_to_numpy(weight) for weight in (a, b))
        np.testing.assert_array_equal(a, b)
    images, labels = load_digits()
    data = keras_vit.load_data((images[::10], labels[::10]), seed=1)  # the child's
    found = keras_vit.evaluate(found, data, part="validation")
    best = max(row["val_accuracy"] for row in rows[0])
    assert found.accuracy == pytest.approx(best, abs=1e-6)


def test_a_run_in_two_processes_goes_on_bit_equal(tmp_path):
    stop_and_go_on(tmp_path, PROCESSES, 2)
    assert_equal(tmp_path)


if BACKEND == "jax":

    def test_cut_weights_go_on_from_their_parts(tmp_path):
        stop_and_go_on(tmp_path, CUT, 2, devices=2)
        assert_equal(tmp_path)
