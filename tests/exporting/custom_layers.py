"""Layers and functions of a user, in a module of theirs."""

from __future__ import annotations

from typing import Any

import keras


class Halved(keras.layers.Layer):
    """Not registered with Keras."""

    def call(self, inputs: Any) -> Any:
        return inputs * 0.5


@keras.saving.register_keras_serializable(package="tests")
def halved(inputs: Any) -> Any:
    return inputs * 0.5


def unregistered(inputs: Any) -> Any:
    return inputs * 0.5


class Scaled(keras.layers.Layer):
    """Does not say what it was made with."""

    def __init__(self, factors: Any) -> None:
        super().__init__()
        self.factors = factors

    def call(self, inputs: Any) -> Any:
        return inputs * keras.ops.convert_to_tensor(self.factors, self.compute_dtype)


def inside() -> keras.layers.Layer:
    class Inside(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    return Inside()
