"""Each private name of Keras that training touches still means what it did.

If one of these fails, Keras changed: read `keras_vit/keras_internals.py` again.
"""

import inspect

import keras
import numpy as np
import pytest

from keras_vit import keras_internals
from keras_vit.training import SGD, Adafactor, AdamW, Lamb

OPTIMIZERS = [AdamW, SGD, Adafactor, Lamb]


def built(kind, **options):
    variable = keras.Variable(np.ones((2, 2), "float32"), name="kernel")
    optimizer = kind(0.5, **options)
    optimizer.build([variable])
    return optimizer, variable


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_update_passes_through_the_hooks(kind):
    calls = []

    class Spy(kind):
        def multiplier(self, variable):
            calls.append(self.index_of(variable))
            return super().multiplier(variable)

    optimizer, variable = built(Spy)
    optimizer.apply([keras.ops.ones((2, 2))], [variable])
    assert calls == [0]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_keras_asks_for_weight_decay_where_the_hook_stands(kind):
    calls = []

    class Spy(kind):
        def _apply_weight_decay(self, variables):
            calls.append(len(variables))

    optimizer, variable = built(Spy, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros((2, 2))], [variable])
    assert calls == [1]
    # Once, by the hook: (1 - 0.5 * 0.5), nothing by Keras.
    found = keras.ops.convert_to_numpy(variable)
    if kind in (AdamW, SGD):
        np.testing.assert_allclose(found, 0.75, rtol=1e-6)


def test_tensorflow_sums_gradients_where_the_hook_stands():
    names = dict(inspect.getmembers(keras.optimizers.SGD()))
    expected = keras.backend.backend() == "tensorflow"
    assert ("_all_reduce_sum_gradients" in names) == expected
    if not expected:
        return
    calls = []

    class Spy(SGD):
        def _all_reduce_sum_gradients(self, grads_and_vars):
            calls.append(1)
            return super()._all_reduce_sum_gradients(grads_and_vars)

    optimizer, variable = built(Spy)
    optimizer.apply([keras.ops.ones((2, 2))], [variable])
    assert calls == [1]


def test_torch_updates_all_weights_in_one_call():
    fused = hasattr(keras.optimizers.SGD(), "_parallel_update_step")
    assert fused == (keras.backend.backend() == "torch")


def test_moving_averages_stand_beside_their_variables():
    optimizer, variable = built(SGD, use_ema=True)
    optimizer.apply([keras.ops.ones((2, 2))], [variable])
    ((found, average),) = keras_internals.moving_averages(optimizer)
    assert found is variable
    np.testing.assert_allclose(keras.ops.convert_to_numpy(average), 0.5)


def test_layers_below_a_layer_are_found():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="inner")])
    outer = keras.Sequential([keras.Input((2,)), model])
    names = [layer.name for layer in keras_internals.all_layers(outer)]
    assert "inner" in names
    assert model in keras_internals.sublayers(outer)


def test_paths_of_layers_are_found_and_differ():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="a")])
    model = keras.Sequential([keras.Input((2,)), inner], name="outer")
    inner.add(keras.layers.Dense(2, name="b"))
    paths = [path for path in keras_internals.layer_paths(model) if "/" in path]
    assert {path.split("/")[-1] for path in paths} >= {"a", "b"}

    class Twins(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="twins")
            self.one = keras.layers.Dense(1, name="same")
            self.two = keras.layers.Dense(1, name="same")

        def call(self, x):
            return self.one(x) + self.two(x)

    outer = keras.Sequential([keras.Input((2,)), Twins()])
    paths = list(keras_internals.layer_paths(outer))
    assert paths[-3:] == ["twins", "twins/same", "twins/same#2"]


@pytest.mark.parametrize("mode", ["full", "activations", None])
def test_the_rematerialization_of_a_model_is_that_of_the_scope(mode):
    with keras.RematScope(mode):
        layer = keras.layers.Dense(2, name="inside")
    outside = keras.layers.Dense(2, name="outside")
    model = keras.Sequential([keras.Input((2,)), layer, outside])
    with keras_internals.rematerialization_of(model):
        found = [keras.layers.Dense(2, name=n)._remat_mode for n in ("inside", "other")]
    if mode == "full":
        assert found[0].mode == "list_of_layers"
        assert found[0].layer_names == ["inside"]
    else:
        assert {getattr(each, "mode", None) for each in found} == {mode}


def test_a_step_compiled_before_is_forgotten():
    class Model(keras.Model):
        factor = 1.0

        def call(self, inputs):
            return inputs * self.factor

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **_):
            return keras.ops.mean(y_pred)

    model = Model()
    model.compile("sgd")
    inputs = np.ones((2, 1), "float32")
    before = model.evaluate(inputs, inputs, verbose=0)
    model.factor = 3.0
    keras_internals.forget_compiled_steps(model)
    assert model.evaluate(inputs, inputs, verbose=0) == pytest.approx(3 * before)


def test_keras_has_the_names_of_the_trainer_that_the_hooks_replace():
    names = dir(keras.Model)
    backend = keras.backend.backend()
    assert ("_maybe_symbolic_build" in names) == (backend == "tensorflow")
    assert ("_purge_model_variables" in names) == (backend == "jax")


def test_a_model_parallel_has_its_rules():
    mesh = keras.distribution.DeviceMesh((1, 1), ["batch", "model"], ["cpu:0"])
    rules = keras.distribution.LayoutMap(mesh)
    engine = keras.distribution.ModelParallel(layout_map=rules)
    assert keras_internals.layout_map_of(engine) is rules
