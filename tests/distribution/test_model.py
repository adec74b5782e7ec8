"""What several devices change in the loops of a model, tried on one device."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest

from keras_vit.distribution import Distribution
from keras_vit.distribution.masks import seed_offset, seed_states, shifted_seeds
from keras_vit.training import SGD, CrossEntropy, TrainingModel

BACKEND = keras.backend.backend()
LABELS = np.array([0, 1, 2, 0, 1, 2])


def make_model(kind: type[TrainingModel] = TrainingModel) -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    dropped = keras.layers.Dropout(0.5, seed=3)(inputs)
    made = kind(keras.Model(inputs, keras.layers.Dense(3)(dropped)))
    made.compile(SGD(0.1), CrossEntropy(), metrics=["accuracy"])
    return made


def states(model: Any) -> list[list[int]]:
    return [keras.ops.convert_to_numpy(s).tolist() for s in seed_states(model)]


@pytest.mark.skipif(BACKEND == "jax", reason="one step draws for the whole batch")
def test_other_seeds_are_drawn_inside_a_scope_and_the_state_goes_on_after_it():
    model = make_model()
    generator = model.layers[1].seed_generator
    assert states(model) == [[3, 0]]
    with shifted_seeds(model, seed_offset(1)):
        drawn = keras.ops.convert_to_numpy(generator.next())
    assert drawn.tolist() == [3 + seed_offset(1), 0]
    assert states(model) == [[3, 1]]
    with shifted_seeds(model, seed_offset(0)):
        drawn = keras.ops.convert_to_numpy(generator.next())
    assert drawn.tolist() == [3, 1]


def test_the_seeds_are_there_after_an_error():
    model = make_model()
    with pytest.raises(KeyError), shifted_seeds(model, 7):
        raise KeyError
    assert states(model) == [[3, 0]]


@pytest.mark.skipif(BACKEND == "jax", reason="one step draws for the whole batch")
def test_a_step_draws_the_masks_of_its_replica():
    class Replica(Distribution):
        def __init__(self, number: int) -> None:
            self.number = number

        def own_masks(self, model):
            return shifted_seeds(model, seed_offset(self.number))

    weights, seeds = [], []
    for devices in (Distribution(), Replica(0), Replica(1)):
        model = make_model()
        with devices:
            model.fit(np.ones((6, 4)), LABELS, verbose=0)
        weights.append(model.get_weights()[0])
        seeds.append(states(model))
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.abs(weights[0] - weights[2]).max() > 1e-3
    assert seeds == [[[3, 1]]] * 3


def test_metrics_are_read_summed():
    class Twice(Distribution):
        @contextmanager
        def summed_metrics(self, model):
            counters = model.metrics_variables
            own = [keras.ops.copy(counter) for counter in counters]
            for counter in counters:
                counter.assign(counter * 2)
            yield
            for counter, value in zip(counters, own, strict=True):
                counter.assign(value)

    model = make_model()
    model.evaluate(np.ones((6, 4)), LABELS, verbose=0)
    tracker = model.metrics[0]
    tracker.total.assign(3.0)
    tracker.count.assign(0.25)
    with Twice():
        assert float(model.get_metrics_result()["loss"]) == 12.0
    assert float(tracker.total) == 3.0


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras gathers them itself")
def test_predictions_are_gathered_batch_by_batch():
    calls = []

    class Gathering(Distribution):
        def gather_outputs(self, outputs):
            calls.append(tuple(outputs.shape))
            return outputs

    with Gathering():
        found = make_model().predict(np.ones((6, 4)), batch_size=2, verbose=0)
    assert found.shape == (6, 3)
    # JAX compiles it once.
    assert calls == [(2, 3)] * (1 if BACKEND == "jax" else 3)


def test_arrays_are_checked_before_each_loop():
    calls = []

    class Checking(Distribution):
        def check_arrays(self, loop, num_images, batch_size):
            calls.append((loop, num_images, batch_size))

    model = make_model()
    images = np.ones((6, 4))
    with Checking():
        model.fit(images, LABELS, 3, verbose=0)
        model.evaluate(x=images, y=LABELS, verbose=0)
        model.predict(images, batch_size=2, verbose=0)
    assert calls == [("fit", 6, 3), ("evaluate", 6, 32), ("predict", 6, 2)]


@pytest.mark.parametrize("good_batches", [0, 2])
def test_weights_are_there_after_a_batch_that_fails(good_batches):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return (np.ones((2, 4 if index < good_batches else 5)),)

    model = make_model()
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(Exception, match="4"):
        model.predict(Batches(), verbose=0)
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_what_was_learned_before_a_batch_that_fails_is_kept():
    class Batches(keras.utils.PyDataset):
        num_good = 1

        def __len__(self):
            return 2

        def __getitem__(self, index):
            width = 4 if index < self.num_good else 5
            return np.ones((6, width), "float32"), LABELS

    model, expected = make_model(), make_model()
    expected.train_on_batch(np.ones((6, 4), "float32"), LABELS)
    with pytest.raises(Exception, match="4"):
        model.fit(Batches(), shuffle=False, verbose=0)
    for found, value in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-6)


@pytest.mark.skipif(BACKEND != "jax", reason="steps of JAX are given the weights")
def test_training_holds_no_second_copy_of_the_weights():
    freed = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            # Not self.model: asking a callback for it puts the new values into it.
            variables = [*model.variables, *model.optimizer.variables]
            freed.append(all(v.value.is_deleted() for v in variables))

    model = make_model()
    model.fit(np.ones((6, 4)), LABELS, batch_size=2, callbacks=[Watch()], verbose=0)
    assert freed == [True] * 3


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute")
def test_a_data_set_with_threads_gives_each_batch_in_its_epoch():
    import tensorflow as tf

    class Batches(keras.utils.PyDataset):
        epoch = 0

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return np.full((6, 4), 10 * self.epoch + index), LABELS

        def on_epoch_end(self):
            self.epoch += 1

    class Recording(TrainingModel):
        def train_step(self, data):
            seen.append(int(data[0][0, 0]))
            return super().train_step(data)

    seen: list[int] = []
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = make_model(Recording)
        model.compile(SGD(0.1), CrossEntropy(), run_eagerly=True)
    model.fit(Batches(workers=2), epochs=2, shuffle=False, verbose=0)
    # Keras ends an epoch of the data set before the first, too.
    assert seen == [10, 11, 12, 13, 20, 21, 22, 23]


@pytest.mark.skipif(BACKEND == "jax", reason="keras.distribution works there")
def test_an_engine_that_keras_ignores_is_refused(monkeypatch):
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "data parallel")
    with pytest.raises(ValueError, match="chosen by keras_vit.distribute"):
        make_model().fit(np.ones((6, 4)), LABELS, verbose=0)
