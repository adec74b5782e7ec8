"""Layers that another process can load, and those that it cannot."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_vit
from keras_vit.exporting import child_process
from tests.exporting import custom_layers
from tests.one_backend import ONE_BACKEND
from tests.tiny_model import tiny


def behind(layer: keras.layers.Layer) -> keras.Model:
    """Return a ViT with a layer before it."""
    return keras.Sequential([keras.Input((32, 32, 3)), layer, tiny(num_classes=3)])


REFUSED = {
    "lambda": (lambda: layers.Lambda(lambda x: x / 255), r"'lambda.*\(Lambda\)"),
    "function": (lambda: layers.Lambda(custom_layers.halved), "Use a layer of Keras"),
    "activation": (
        lambda: layers.Activation(lambda x: x / 255, name="scaled"),
        r"'scaled' \(Activation\)",
    ),
    "dense": (lambda: layers.Dense(3, activation=lambda x: x), r"\(Dense\)"),
    "initializer": (
        lambda: layers.Dense(3, kernel_initializer=lambda s, dtype: keras.ops.ones(s)),
        r"\(Dense\)",
    ),
    "below": (
        lambda: keras.Sequential([layers.Lambda(lambda x: x, name="deep")]),
        "'deep'",
    ),
    "unregistered": (
        lambda: layers.Activation(custom_layers.unregistered),
        "'unregistered'. Put @keras.saving.register_keras_serializable",
    ),
    "inside": (custom_layers.inside, "the class Inside. Move the class to a module"),
    "config": (lambda: custom_layers.Scaled(np.ones(3)), "Write get_config"),
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("kind", REFUSED)
def test_a_layer_that_cannot_be_loaded_is_named_before_any_work(
    kind, tmp_path, monkeypatch
):
    make, message = REFUSED[kind]
    monkeypatch.setattr(child_process, "start", None)
    with pytest.raises(ValueError, match=message):
        keras_vit.export(behind(make()), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@ONE_BACKEND
@pytest.mark.parametrize(
    "make",
    [
        custom_layers.Halved,
        lambda: layers.Activation(custom_layers.halved),
        lambda: layers.Activation(keras.ops.tanh),
    ],
)
def test_layers_of_a_module_are_loaded_by_the_child(make, tmp_path):
    report = keras_vit.export(
        behind(make()),
        tmp_path / "model.pt2",
        format="torch",  # A process of its own on each backend of these tests.
        report=False,
    )
    assert report.max_difference < 1e-5
