"""How fast files are."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.cli import main
from keras_vit.exporting import time_exported
from keras_vit.exporting.benchmark import benchmark
from keras_vit.exporting.timing import num_cores
from tests.contract import set_random_weights
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one model as three files."""
    model = keras_vit.ViT.from_variant(
        "test", num_classes=3, preprocessing=Preprocessing(image_size=32)
    )
    set_random_weights(model)
    folder = tmp_path_factory.mktemp("files")
    keras_vit.save(model, folder / "model.keras")
    options = {"report": False, "images": [np.zeros((32, 32, 3), "uint8")]}
    keras_vit.export(model, folder / "one.tflite", **options)
    keras_vit.export(model, folder / "any.tflite", batch=None, **options)
    return folder


def test_a_file_is_measured_over_batches_and_threads(folder):
    threads = [1, 2][: num_cores()]
    found = benchmark(
        folder / "any.tflite", batches=[1, 4], threads=threads, seconds=0.05
    )
    assert found.format == "litert" and found.backend is None
    pairs = [(row.batch, row.threads) for row in found.rows]
    assert pairs == [(batch, count) for count in threads for batch in (1, 4)]
    for row in found.rows:
        assert 0 < row.median_ms <= row.p95_ms and row.images_per_second > 0
        assert row.num_calls >= 5
    assert len(found.table().splitlines()) == 2 + len(pairs)


def test_a_keras_file_runs_under_the_backend_of_the_process(folder):
    found = benchmark(folder / "model.keras", batches=[2], seconds=0.05)
    assert found.backend == keras.backend.backend()
    assert found.fixed_batch is None and found.rows[0].batch == 2


def test_a_file_with_a_fixed_batch_says_so(folder, capsys):
    arguments = [str(folder / "one.tflite"), "--batch", "1", "8", "--seconds", "0.05"]
    assert main(["benchmark", *arguments]) == 0
    out = capsys.readouterr().out
    assert "takes batches of 1 only" in out and "not measured: 8." in out
    assert main(["benchmark", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fixed_batch"] == 1
    assert [row["batch"] for row in found["rows"]] == [1]


def test_a_model_of_two_inputs_is_refused(tmp_path):
    inputs = [keras.Input((4, 4, 3)), keras.Input((4, 4, 3))]
    path = tmp_path / "model.keras"
    keras.Model(inputs, inputs[0] + inputs[1]).save(path)
    with pytest.raises(ValueError, match="one input of images, received 2"):
        benchmark(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.tflite", None, "No file or folder"),
        ("picture.png", b"png", "'.tflite'.*received .*picture.png"),
        ("bad.tflite", b"no model", "carries no keras_vit metadata"),
        ("bad.keras", b"no model", "is no .keras file, or a damaged"),
    ],
)
def test_wrong_files_give_one_clear_line(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        benchmark(tmp_path / name)
    assert main(["benchmark", str(tmp_path / name)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_damaged_file_says_what_its_runtime_says(folder, tmp_path):
    content = (folder / "one.tflite").read_bytes()
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"\0" * 2000 + content[2000:])
    with pytest.raises(RuntimeError, match="could not be run: ValueError") as error:
        benchmark(damaged, seconds=0.05)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": [0]}, "batches must be numbers of images of at least 1"),
        ({"threads": [0]}, "threads must be from 1 to"),
        ({"threads": [100_000]}, "threads must be from 1 to"),
        ({"seconds": 0}, "seconds must be more than 0"),
    ],
)
def test_options_out_of_range_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        benchmark(folder / "one.tflite", **options)


def test_files_run_in_turns(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr(time_exported.time, "perf_counter", lambda: clock[0])

    def call(name: str, seconds: float) -> None:
        order.append(name)
        clock[0] += seconds

    calls = [lambda: call("fast", 0.01), lambda: call("slow", 0.5)]
    fast, slow = time_exported.time_in_turns(calls, 1.0)
    assert fast == pytest.approx([0.01] * len(fast))
    assert slow == pytest.approx([0.5] * len(slow)) and len(slow) >= 5
    turns = "".join(name[0] for name in order[12:])
    assert "ffssff" in turns
