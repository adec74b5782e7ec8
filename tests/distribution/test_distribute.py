from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.distribution import Distribution, current, vit_layout_map
from keras_vit.distribution.distribute import KINDS
from keras_vit.distribution.layout import check_rules
from keras_vit.training import CrossEntropy, TrainingModel

BACKEND = keras.backend.backend()
LATE = """
import keras_vit
keras_vit.distribute(
    "data_parallel", coordinator="{address}", num_processes=2, process_id=1, timeout=1
)
"""


def test_the_default_is_a_single_device():
    assert (current().kind, current().num_replicas, current().is_main) == (
        "single",
        1,
        True,
    )


def test_a_scope_is_current_until_it_ends():
    with keras_vit.distribute("single") as distribution:
        assert current() is distribution
    assert current() is not distribution


def test_a_scope_ends_with_an_error():
    with pytest.raises(KeyError), keras_vit.distribute("single") as distribution:
        raise KeyError
    assert current() is not distribution


@pytest.mark.parametrize("kind", [k for k in KINDS if BACKEND not in KINDS[k]])
def test_a_kind_of_another_backend_names_the_one_of_this(kind):
    instead = "mirrored" if BACKEND == "tensorflow" else "data_parallel"
    with pytest.raises(ValueError, match=f"needs the backend.*Use.*{instead}"):
        keras_vit.distribute(kind)


def test_an_unknown_kind_lists_those_there_are():
    with pytest.raises(ValueError, match="must be one of.*mirrored"):
        keras_vit.distribute("miror")


def test_something_else_than_a_kind_is_a_type_error():
    with pytest.raises(TypeError, match="received float"):
        keras_vit.distribute(2.0)


def test_an_object_of_keras_is_refused_where_keras_ignores_it():
    class Fake(keras.distribution.DataParallel):
        def __init__(self):
            pass

    if BACKEND == "jax":
        kind = keras.distribution.DataParallel()
        assert keras_vit.distribute(kind).kind == "data_parallel"
        return
    with pytest.raises(ValueError, match="needs the backend jax.*ignores it"):
        keras_vit.distribute(Fake())


@pytest.mark.parametrize("options", [{"devices": 2}, {"model_devices": 2}])
def test_options_of_another_kind_are_refused(options):
    with pytest.raises(ValueError, match="belongs to"):
        keras_vit.distribute("single", **options)


@pytest.mark.parametrize("kind", [k for k in KINDS if BACKEND in KINDS[k]])
def test_devices_that_are_not_there_are_refused(kind):
    if kind in ("auto", "single", "multi_worker", "tpu"):
        kind = {"tensorflow": "mirrored"}.get(BACKEND, "data_parallel")
    with pytest.raises(ValueError, match="received"):
        keras_vit.distribute(kind, devices=["no:7"])


def test_several_processes_need_addresses():
    if BACKEND == "jax":
        return
    kind = "multi_worker" if BACKEND == "tensorflow" else "data_parallel"
    with pytest.raises(ValueError, match="Set TF_CONFIG|torchrun"):
        keras_vit.distribute(kind)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute")
def test_a_strategy_that_keras_cannot_train_with_is_refused():
    import tensorflow as tf

    central = tf.distribute.experimental.CentralStorageStrategy(["CPU:0"], "CPU:0")
    with pytest.raises(ValueError, match="CentralStorageStrategy. Use 'mirrored'"):
        keras_vit.distribute(central)


class Four(Distribution):
    num_replicas = 4


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.zeros((4, 2)), np.zeros((4,))


def make_model() -> TrainingModel:
    inputs = keras.Input((2,))
    return TrainingModel(keras.Model(inputs, keras.layers.Dense(3)(inputs)))


@pytest.mark.parametrize(
    ("size", "steps", "near"), [(10, 1, "8 or 12"), (12, 2, "8 or 16"), (2, 1, "4")]
)
def test_a_batch_that_replicas_cannot_share_is_refused(size, steps, near):
    with pytest.raises(ValueError, match=f"received batch_size={size}. Use {near}"):
        Four().check_batch_size(size, steps)


@pytest.mark.parametrize(("size", "advice"), [(10, "Use 8"), (3, "Use fewer of them")])
def test_no_batch_larger_than_the_set_is_advised(size, advice):
    with pytest.raises(ValueError, match=rf"batch_size={size}\. {advice}\."):
        Four().check_batch_size(size, num_images=size)


def test_a_batch_that_replicas_share_is_accepted():
    Four().check_batch_size(16, 2)


@pytest.mark.parametrize("name", ["fit", "train_on_batch"])
def test_replicas_train_no_model_that_was_not_started(name):
    images, labels = np.zeros((4, 2)), np.zeros((4,))
    with Four() as distribution:
        model = make_model()
        for _ in range(2):  # What the last `compile` set was not looked at.
            model.compile("sgd", CrossEntropy())
            with pytest.raises(ValueError, match=r"only after distribution\.start"):
                getattr(model, name)(images, labels)
            distribution.start(model)
        distribution.start(model)
        getattr(model, name)(images, labels)
    model.compile("sgd", CrossEntropy())
    getattr(model, name)(images, labels)


def test_a_plain_model_is_refused_with_the_line_that_wraps_it():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    wrap = r"Wrap the model: trained = keras_vit\.training\.TrainingModel\(model\)"
    with Four() as distribution:
        with pytest.raises(TypeError, match=wrap):
            distribution.start(model)
        for loop in (model.fit, model.evaluate, model.predict):
            with pytest.raises(TypeError, match=wrap):
                loop(distribution.prepare(Batches()), verbose=0)


def test_a_training_model_takes_what_was_prepared():
    with Four() as distribution:
        model = make_model()
        model.compile("sgd", CrossEntropy())
        distribution.start(model)
        batches = distribution.prepare(Batches())
        history = model.fit(batches, validation_data=batches, verbose=0).history
        assert set(history) == {"loss", "val_loss"}
        assert model.predict(batches, verbose=0).shape == (8, 3)
    batches = Batches()
    assert keras_vit.distribute("single").prepare(batches) is batches


class InTwoProcesses(Distribution):
    num_processes = 2


def test_sigterm_does_in_several_processes_what_it_does_in_one():
    calls = []
    former = signal.signal(signal.SIGTERM, lambda *_: calls.append("SIGTERM"))
    try:
        # As TensorFlow and JAX do: Python does not see it.
        c_signal = ctypes.CDLL(None).signal
        c_signal.argtypes, c_signal.restype = [ctypes.c_int, ctypes.c_void_p], None
        c_signal(signal.SIGTERM, int(signal.SIG_IGN))
        os.kill(os.getpid(), signal.SIGTERM)
        assert not calls
        with InTwoProcesses():
            os.kill(os.getpid(), signal.SIGTERM)
        assert calls == ["SIGTERM"]
    finally:
        signal.signal(signal.SIGTERM, former)


@pytest.mark.parametrize(
    ("code", "expected", "shown"), [(None, 0, ""), (3, 3, ""), ("why", 1, "why\n")]
)
def test_a_process_of_several_exits_as_python_does(
    code, expected, shown, monkeypatch, capsys
):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with pytest.raises(SystemExit), InTwoProcesses():
        sys.exit(code)
    assert codes == [expected] and capsys.readouterr().err == shown


class Disagreeing(Distribution):
    def exchange(self, text):
        return [text, text.replace("16", "32")]


def test_processes_that_disagree_are_told_where():
    with pytest.raises(ValueError, match=r"size: 16 \(process 0\), 32 \(process 1\)"):
        Disagreeing().check_same({"size": 16, "seed": 1}, "configuration")
    Disagreeing().check_same({"seed": 1}, "configuration")


def mesh(*names: str):
    devices = keras.distribution.list_devices()[:1]
    return keras.distribution.DeviceMesh((1,) * len(names), list(names), devices)


if BACKEND == "jax":

    @pytest.mark.parametrize("options", [{}, {"block": "parallel"}, {"mlp": "gated"}])
    def test_each_rule_of_the_layout_matches(options):
        model = keras_vit.ViT.from_variant("test", num_classes=2, **options)
        check_rules(vit_layout_map(mesh("batch", "model")), model)

    def test_a_rule_that_matches_nothing_is_refused():
        layouts = vit_layout_map(mesh("batch", "model"))
        layouts["mlp/kernel"] = (None, "model")
        model = keras_vit.ViT.from_variant("test", num_classes=2)
        with pytest.raises(ValueError, match=r"must match.*\['mlp/kernel'\]"):
            check_rules(layouts, model)

    def test_a_mesh_without_model_axis_is_refused():
        with pytest.raises(ValueError, match='must have an axis "model"'):
            vit_layout_map(mesh("batch"))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="each process listens itself")
def test_a_program_that_listens_in_place_of_process_0_is_no_trap():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        child = subprocess.run(
            [sys.executable, "-c", LATE.format(address=address)],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert child.returncode != 0
    assert "must start within timeout=1 seconds" in child.stderr
