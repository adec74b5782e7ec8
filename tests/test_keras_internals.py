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


def test_a_dropout_layer_gets_a_generator_that_is_part_of_its_state():
    layer = keras.layers.Dropout(0.0)
    layer.build((None, 4))
    assert not layer.variables
    keras_internals.set_dropout_rate(layer, 0.5)
    assert len(layer.variables) == 1
    outputs = keras.ops.convert_to_numpy(layer(np.ones((8, 64)), training=True))
    assert set(np.unique(outputs)) == {0.0, 2.0}
    keras_internals.set_dropout_rate(layer, 0.25)
    assert len(layer.variables) == 1


@pytest.mark.parametrize("mode", ["full", "activations", None])
def test_the_rematerialization_mode_is_that_of_the_scope(mode):
    layer = keras.layers.Dense(2)
    keras_internals.set_rematerialization_mode(layer, mode)
    with keras.RematScope(mode):
        expected = keras.layers.Dense(2)._remat_mode
    found = layer._remat_mode
    assert getattr(found, "mode", None) == getattr(expected, "mode", None)


def test_lora_factors_leave_a_dense_layer_without_a_trace():
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    plain = layer.get_config()
    layer.enable_lora(2, lora_alpha=6)
    layer.lora_kernel_b.assign(np.ones((2, 3)))
    inputs = np.ones((1, 4), "float32")
    expected = keras.ops.convert_to_numpy(layer(inputs))
    keras_internals.remove_lora(layer)
    assert [w.name for w in layer.weights] == ["kernel", "bias"]
    assert layer.get_config() == plain
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(layer(inputs)), expected, rtol=1e-5
    )
    layer.enable_lora(1)


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
