"""What the outputs of a model are: activation, and thresholds of sigmoids."""

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


def thresholds_of(model: keras.Model) -> tuple[float, ...] | None:
    """Return for each output the probability from which its answer is yes.

    They are `model.thresholds`; 0.5 for a model with several sigmoids that has none.
    None: it chooses one class per image, or has a single output, no or yes at 0.5.
    """
    own = getattr(model, "thresholds", None)
    if own is not None:
        return tuple(own)
    shape = getattr(model, "output_shape", None)
    count = shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else 0
    is_several = count and count > 1 and output_activation(model) == "sigmoid"
    return (0.5,) * count if is_several else None


def _name(activation: Any) -> str | None:
    name = getattr(activation, "__name__", activation)
    return None if name == "linear" else name
