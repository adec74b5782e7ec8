"""What all layers with sub-layers do in the same way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_vit.layers.policies import serialize_policy, sublayer_policies
from keras_vit.layers.rematerialization import rematerialize, sublayer_scope
from keras_vit.layers.shapes import Shape


class CompositeLayer(keras.layers.Layer):
    """A layer made of sub-layers.

    A subclass keeps each argument of its `__init__` under its own name, or, if it is a
    layer to copy, as `_NAME_template`; they make its config. It makes the sub-layers in
    `with self.sublayers() as named`, so that they get their dtype policies, also those
    of a quantized model, and are not rematerialized one by one. Its output has the
    shape of its input unless it says otherwise.
    """

    @contextmanager
    def sublayers(self) -> Iterator[Callable[[str], dict[str, Any]]]:
        """Yield the function from the name of a sub-layer to its `dtype` and `name`."""
        policy = sublayer_policies(self)
        with sublayer_scope(self):
            yield lambda name: {"dtype": policy(name), "name": name}

    def rematerialized_call(
        self, layer_call: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Callable[..., Any]:
        return rematerialize(self, layer_call, args[0])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        _, *parameters = inspect.signature(type(self).__init__).parameters.values()
        names = (p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
        return {
            **super().get_config(),
            "dtype": serialize_policy(self),
            **{name: self._argument(name) for name in names},
        }

    def _argument(self, name: str) -> Any:
        template = f"_{name}_template"
        return getattr(self, template if hasattr(self, template) else name)


def build_each(input_shape: Shape, *layers: keras.layers.Layer | None) -> None:
    """Build layers, in this order, for inputs of one shape; None is left out."""
    for layer in layers:
        if layer is not None:
            layer.build(input_shape)
