"""Checkpoints to which each process writes its parts, in a child with four devices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

CHILD = Path(__file__).with_name("sharded_child.py")
if keras.backend.backend() != "jax":
    pytest.skip("weights are cut over devices on JAX alone", allow_module_level=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    child = subprocess.run(
        [sys.executable, str(CHILD), str(tmp_path_factory.mktemp("checkpoint"))],
        capture_output=True,
        text=True,
        timeout=240,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        },
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


def test_the_newest_and_the_one_before_it_are_kept(results):
    assert results["names"] == ["checkpoint.orbax", "checkpoint.previous.orbax"]


@pytest.mark.parametrize("mesh", ["same", "other", "one"])
def test_values_are_exact_on_any_mesh(results, mesh):
    assert results[f"{mesh} mesh"] == [2, True]


def test_the_checkpoint_before_a_damaged_one_is_used(results):
    assert results["damaged"] == [1, True]
    (warning,) = results["warned"]
    assert "checksum" in warning and "goes on from the checkpoint before" in warning


def test_reading_without_orbax_names_the_extra(results):
    assert "pip install 'keras3-vit[orbax]'" in results["without"]


def test_without_orbax_one_file_holds_all_and_follows_the_other_kind(results):
    assert results["names without"] == ["checkpoint.npz", "checkpoint.previous.orbax"]
    assert results["gathered"] == [3, True]
