"""Copy a model: the same layers and weights, without its optimizer."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_vit.keras_internals import all_layers
from keras_vit.lora import clear_factors, has_lora, weights_and_values


def plain_copy(model: keras.Model, **changes: Any) -> keras.Model:
    """Return a model with the same weights, without optimizer and LoRA factors.

    Args:
        model: stays as it is.
        changes: of its config.
    """
    copy = rebuilt(model, **changes)
    write_weights(model, copy)
    return copy


def rebuilt(model: keras.Model, **changes: Any) -> keras.Model:
    """Return a model of the same class and config, with weights of its own.

    Args:
        model: stays as it is; its own layers need not be registered with Keras.
        changes: of its config.
    """
    described: Any = keras.saving.serialize_keras_object(model)
    described.pop("compile_config", None)
    if changes:
        described["config"].update(changes)
        described.pop("build_config", None)
    _remove_lora(described)
    kinds = {type(layer) for layer in all_layers(model)}
    unregistered = {
        kind.__name__: kind
        for kind in kinds
        if keras.saving.get_registered_name(kind) == kind.__name__
        and not kind.__module__.startswith("keras.")
    }
    # Safe mode is for files: what a model of the user runs runs already.
    return keras.saving.deserialize_keras_object(
        described, custom_objects=unregistered, safe_mode=False
    )


def write_weights(source: keras.Model, target: keras.Model) -> None:
    """Give a model the weights of its copy, and sums where only that has LoRA factors.

    Args:
        source: stays as it is.
        target: has the same layers; may have another dtype, or LoRA factors.
    """
    if has_lora(source) and has_lora(target):
        values: Any = iter(source.weights)
        targets: Any = target.weights
    else:
        values = (value for _, value in weights_and_values(source, merges=True))
        targets = [weight for weight, _ in weights_and_values(target, merges=False)]
        clear_factors(target)
    for weight, value in zip(targets, values, strict=True):
        # A copy: JAX gives the memory of a weight away in training.
        weight.assign(ops.copy(ops.convert_to_tensor(value)))
    for layer in all_layers(target):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # It computes with what it made of its weights.


def _remove_lora(described: Any) -> None:
    """Take the factors of Dense layers out of the config of a model."""
    if isinstance(described, dict):
        if described.get("class_name") == "Dense":
            described["config"].pop("lora_rank", None)
            described["config"].pop("lora_alpha", None)
        for value in described.values():
            _remove_lora(value)
    elif isinstance(described, list | tuple):
        for value in described:
            _remove_lora(value)
