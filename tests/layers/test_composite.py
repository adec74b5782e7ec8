from __future__ import annotations

from typing import Any

import keras
import pytest

from keras_vit.layers.composite import CompositeLayer, build_each
from keras_vit.layers.templates import copy_layer, serialize


class Pair(CompositeLayer):
    def __init__(self, width: int, inner: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self._inner_template = serialize(inner)
        with self.sublayers() as named:
            self.first = keras.layers.Dense(width, **named("first"))
            self.inner = copy_layer(serialize(inner), **named("inner"))


def test_the_config_is_what_the_constructor_takes():
    pair = Pair(3, keras.layers.Dense(3), name="pair")
    config = pair.get_config()
    assert set(config) == {"name", "trainable", "dtype", "width", "inner"}
    assert config["inner"] == serialize(keras.layers.Dense(3, name=config_name(config)))
    assert Pair.from_config(config).get_config() == config


def config_name(config):
    return config["inner"]["config"]["name"]


def test_an_argument_that_was_not_kept_is_an_error():
    class Forgetful(CompositeLayer):
        def __init__(self, width: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)

    with pytest.raises(AttributeError, match="width"):
        Forgetful(3).get_config()


def test_sublayers_have_names_and_the_policy_of_the_layer_around():
    pair = Pair(3, keras.layers.Dense(3), dtype="mixed_bfloat16")
    assert [layer.name for layer in (pair.first, pair.inner)] == ["first", "inner"]
    for layer in (pair.first, pair.inner):
        assert layer.dtype_policy.name == "mixed_bfloat16"


def test_the_output_has_the_shape_of_the_input():
    assert Pair(3, keras.layers.Dense(3)).compute_output_shape((None, 3)) == (None, 3)


def test_layers_are_built_one_by_one_and_none_is_left_out():
    layers = [keras.layers.Dense(4), keras.layers.Dense(5)]
    build_each((None, 3), layers[0], None, layers[1])
    assert [tuple(layer.kernel.shape) for layer in layers] == [(3, 4), (3, 5)]
