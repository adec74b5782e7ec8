"""Which layers another process can load from a `.keras` file, and what it imports."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_vit.keras_internals import all_layers

_CHILD = "A process of its own converts, which"
_OWN = ("keras", "keras_vit")
_FUNCTION, _LAMBDA = "function", "__lambda__"


def custom_objects(model: keras.Model) -> list[tuple[str, str]]:
    """Return (module, name) of each class and function that the layers need.

    Those of Keras and of this package are left out: each process has them.

    Raises:
        ValueError: if another process cannot load a layer, with its name: for functions
            without a name (a Lambda layer, an activation), for classes and functions of
            a script, of a notebook or inside a function, for functions that are not
            registered, and for layers that do not describe themselves.
    """
    found: dict[tuple[str, str], None] = {}
    for layer in all_layers(model):
        kind = type(layer)
        # Of classes in a script, Keras does not write down where they are.
        own = {"module": kind.__module__, "class_name": kind.__name__}
        for part in (own, *_parts(_described(layer))):
            place = _place(part, layer)
            if place is not None and place[0].split(".")[0] not in _OWN:
                what = "function" if part.get("class_name") == _FUNCTION else "class"
                _check_importable(*place, what, layer)
                found[place] = None
    return [*found]


def import_objects(places: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what `custom_objects` named, by name; registers what is registered."""
    return {
        name: getattr(importlib.import_module(module), name) for module, name in places
    }


def _described(layer: keras.layers.Layer) -> dict[str, Any]:
    if isinstance(layer, keras.layers.Lambda):
        _refuse_lambda(layer)
    if isinstance(layer, keras.Model):  # Its layers come by themselves.
        return {}
    try:
        return keras.saving.serialize_keras_object(layer)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"{_CHILD} builds each layer from its config, received the layer "
            f"{layer.name!r} ({type(layer).__name__}) without one. Write get_config in "
            "its class, which returns the arguments of __init__."
        ) from error


def _place(part: dict[str, Any], layer: keras.layers.Layer) -> tuple[str, str] | None:
    """Return module and name of a class or function in a config; None: neither."""
    kind, module = part.get("class_name"), part.get("module")
    if kind == _LAMBDA or _is_code(part.get("value")):
        _refuse_lambda(layer)
    if kind != _FUNCTION:
        if isinstance(kind, str) and isinstance(module, str):
            return module, kind
        return None
    name = part["config"]
    own = (keras.activations, keras.initializers, keras.regularizers)
    if any(hasattr(group, name) for group in own):
        return None
    function = keras.saving.get_registered_object(name)
    if function is None:
        raise ValueError(
            f"{_CHILD} finds functions by the name that they are registered with, "
            f"received the layer {layer.name!r} with the function {name!r}. Put "
            "@keras.saving.register_keras_serializable() before it, in a module."
        )
    return (function.__module__, function.__name__)


def _is_code(value: Any) -> bool:
    """Return whether something is what Keras makes of a lambda."""
    return isinstance(value, tuple) and len(value) == 3 and isinstance(value[0], str)


def _refuse_lambda(layer: keras.layers.Layer) -> None:
    raise ValueError(
        f"{_CHILD} runs no code out of a file, received the layer {layer.name!r} "
        f"({type(layer).__name__}) with a lambda or a Python function. Use a layer of "
        "Keras instead (Rescaling for x / 255, Normalization, Reshape, Activation), "
        "operations of keras.ops in a functional model, or a Layer class of your own "
        "in a module."
    )


def _check_importable(
    module: str, name: str, what: str, layer: keras.layers.Layer
) -> None:
    try:
        is_found = module != "__main__" and hasattr(
            importlib.import_module(module), name
        )
    except ImportError:
        is_found = False
    if not is_found:
        raise ValueError(
            f"{_CHILD} cannot import classes and functions from a script, a notebook "
            f"or a function, received the layer {layer.name!r} with the {what} {name}. "
            f"Move the {what} to a module."
        )


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield each dictionary in the description of a layer."""
    if isinstance(config, dict):
        yield config
        for value in config.values():
            yield from _parts(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _parts(value)
