"""What the outputs of a model are."""

from __future__ import annotations

from typing import Any

import keras

# Layers and operations that are an activation, by class name.
_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
# Those that hand on what they are given, perhaps in another shape or dtype.
_TRANSPARENT = ("Activation", "Cast", "Dropout", "Flatten", "Identity", "Reshape")


def output_activation(model: keras.Model) -> str | None:
    """Return the name of the activation that a model ends with; None for logits.

    Our own models say it in their config; of others the last operations are asked, also
    those of a model within the model.
    """
    config: Any = getattr(model, "config", None)
    if hasattr(config, "classifier_activation"):
        return _name(config.classifier_activation)
    # A functional model's operations are layers and `keras.ops`, the outputs' last.
    operations: Any = getattr(model, "operations", model.layers)
    for operation in reversed(operations):
        kind = type(operation).__name__
        if isinstance(operation, keras.Model):
            return output_activation(operation)
        name = _ACTIVATIONS.get(kind, _name(getattr(operation, "activation", None)))
        if name is not None or kind not in _TRANSPARENT:
            return name
    return None


def _name(activation: Any) -> str | None:
    name = getattr(activation, "__name__", activation)
    return None if name == "linear" else name
