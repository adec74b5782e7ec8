"""Each private name of Keras that several devices touch still means what it did.

If one of these fails, Keras changed: read `distribution/keras_hooks.py` again.
"""

from typing import Any

import keras
import numpy as np
import pytest

from keras_vit.distribution import keras_hooks

BACKEND = keras.backend.backend()


def test_the_seed_generators_of_a_layer_are_found_and_draw_by_replica():
    dropout = keras.layers.Dropout(0.5, seed=3)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, dropout(inputs))
    generator = dropout.seed_generator
    state = keras.ops.convert_to_numpy(generator.state)
    keras_hooks.use_replica_seeds(model, lambda: 1)
    second = keras.ops.convert_to_numpy(generator.next())
    generator.replica_id = lambda: 0
    first = keras.ops.convert_to_numpy(generator.next())
    np.testing.assert_array_equal(second - state, [keras_hooks.seed_offset(1), 0])
    # The state of both goes on in the same way.
    np.testing.assert_array_equal(first - state, [0, 1])


def test_models_have_the_names_that_several_processes_change():
    inputs = keras.Input((4,))
    model: Any = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    assert callable(model._symbolic_build)
    assert callable(model.get_metrics_result)
    is_tensorflow = BACKEND == "tensorflow"
    assert hasattr(model, "_maybe_symbolic_build") == is_tensorflow
    assert hasattr(model, "_distribute_strategy") == is_tensorflow


def test_a_model_parallel_has_its_rules():
    mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], ["cpu:0"])
    rules = keras.distribution.LayoutMap(mesh)
    engine = keras.distribution.ModelParallel(layout_map=rules)
    assert keras_hooks.layout_map_of(engine) is rules


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras gathers them itself")
def test_predictions_pass_through_the_hook():
    inputs = keras.Input((4,))
    model: Any = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    calls = []

    def gather(outputs):
        calls.append(tuple(outputs.shape))
        return outputs

    for _ in range(2):
        keras_hooks.use_gathered_predictions(model, gather)
    assert model.predict(np.ones((6, 4)), batch_size=2, verbose=0).shape == (6, 1)
    assert calls == [(2, 1)] * 3


@pytest.fixture
def model() -> Any:
    inputs = keras.Input((4,))
    made = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    made.compile("sgd", "mse")
    return made


def test_arrays_are_checked_before_each_loop(model):
    calls = []
    for _ in range(2):
        keras_hooks.guard_loops(model, lambda *sizes: calls.append(sizes))
    images, labels = np.ones((6, 4)), np.ones((6, 1))
    model.fit(images, labels, 3, verbose=0)
    model.evaluate(x=images, y=labels, verbose=0)
    model.predict(images, batch_size=2, verbose=0)
    assert calls == [("fit", 6, 3), ("evaluate", 6, 32), ("predict", 6, 2)]


def test_weights_are_there_after_a_batch_that_fails(model):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return (np.ones((2, 4 if index < 2 else 5)),)

    keras_hooks.guard_loops(model, lambda *sizes: None)
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(Exception, match="4"):
        model.predict(Batches(), verbose=0)
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute")
def test_a_data_set_with_threads_gives_each_batch_in_its_epoch():
    import tensorflow as tf

    class Batches(keras.utils.PyDataset):
        epoch = 0

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return np.full((2, 4), 10 * self.epoch + index), np.ones((2, 1))

        def on_epoch_end(self):
            self.epoch += 1

    class Recording(keras.Model):
        def train_step(self, data):
            seen.append(int(data[0][0, 0]))
            return super().train_step(data)

    seen: list[int] = []
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        inputs = keras.Input((4,))
        model = Recording(inputs, keras.layers.Dense(1)(inputs))
        model.compile("sgd", "mse", metrics=["mse"], run_eagerly=True)
    for _ in range(2):
        keras_hooks.build_from_signature(model, strategy)
    model.fit(Batches(workers=2), epochs=2, shuffle=False, verbose=0)
    # Keras ends an epoch of the data set before the first, too.
    assert seen == [10, 11, 12, 13, 20, 21, 22, 23]


@pytest.mark.skipif(BACKEND == "jax", reason="keras.distribution works there")
def test_an_engine_that_keras_ignores_is_refused(model, monkeypatch):
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "data parallel")
    with pytest.raises(ValueError, match="chosen by keras_vit.distribute"):
        keras_hooks.check_no_engine_by_hand(model, 1)


def test_without_an_engine_nothing_is_refused(model):
    keras_hooks.check_no_engine_by_hand(model, 1)
