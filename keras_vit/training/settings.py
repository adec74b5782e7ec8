"""Change how a built model trains: rates, dtype, rematerialization."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from keras_vit.keras_internals import (
    all_layers,
    forget_compiled_steps,
    set_dropout_rate,
    set_rematerialization_mode,
    sublayers,
)

RATES = (
    "stochastic_depth_rate",
    "dropout_rate",
    "attention_dropout_rate",
    "patch_dropout_rate",
)
_REMATERIALIZATION = ("full", "activations", None)


def set_rates(
    model: keras.Model,
    *,
    stochastic_depth_rate: float | None = None,
    dropout_rate: float | None = None,
    attention_dropout_rate: float | None = None,
    patch_dropout_rate: float | None = None,
    stochastic_depth_curve: str | None = None,
) -> None:
    """Change the rates of a built `ViT`, as if it had been built with them.

    Weights stay as they are. The next `fit` of this model takes the new rates; a
    `TrainingModel` made around it before needs a new `compile`, which `set_rates` of
    the `TrainingModel` itself does not.

    Args:
        model: `ViT`, or a `TrainingModel` around one.
        stochastic_depth_rate: of the last block, [0, 1). Default None: as it is.
        dropout_rate: [0, 1). Default None: as it is.
        attention_dropout_rate: [0, 1). Default None: as it is.
        patch_dropout_rate: [0, 1); needs a model that was built with one.
            Default None: as it is.
        stochastic_depth_curve: "linear" from 0 in the first block, or "constant".
            Default None: as it is.

    Raises:
        TypeError: if `model` is no ViT.
        ValueError: if a rate is out of range, or there is no patch dropout to change.
    """
    inside: Any = getattr(model, "model", model)
    if not hasattr(getattr(inside, "config", None), "stochastic_depth_rate"):
        raise TypeError(
            f"set_rates changes a keras_vit.ViT, received {type(inside).__name__}. Set "
            "the rates of your own layers yourself."
        )
    given = {
        "stochastic_depth_rate": stochastic_depth_rate,
        "dropout_rate": dropout_rate,
        "attention_dropout_rate": attention_dropout_rate,
        "patch_dropout_rate": patch_dropout_rate,
        "stochastic_depth_curve": stochastic_depth_curve,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    config = replace(inside.config, **changes)
    names = [layer.name for layer in inside.layers]
    if config.patch_dropout_rate and "patch_dropout" not in names:
        raise ValueError(
            "This model was built without patch dropout, received patch_dropout_rate="
            f"{config.patch_dropout_rate}. Build or load it with "
            "patch_dropout_rate=..., which can be changed afterwards."
        )
    inside.config = config
    for layer in inside.layers:
        if layer.name == "pooling":
            continue  # Its attention and MLP drop nothing.
        rates = {name: getattr(config, name) for name in RATES}
        if layer.name.startswith("block_"):
            block = int(layer.name.removeprefix("block_"))
            rates["stochastic_depth_rate"] = config.block_stochastic_depth(block)
        _set(layer, rates)
    for compiled in {id(m): m for m in (model, inside)}.values():
        forget_compiled_steps(compiled)


def _set(layer: Any, rates: dict[str, float]) -> None:
    """Set the rates of a layer and of those in it."""
    is_product = layer.name == "product"
    for name in RATES:
        if hasattr(layer, name):
            own = "attention_dropout_rate" if is_product else name
            setattr(layer, name, rates[own])
    for name in ("_attention_template", "_mlp_template", "_template"):
        _set_template(getattr(layer, name, None), rates)
    if layer.name.endswith("stochastic_depth"):
        layer.rate = rates["stochastic_depth_rate"]
    elif layer.name == "patch_dropout":
        layer.rate = rates["patch_dropout_rate"]
    for below in sublayers(layer):
        if isinstance(below, keras.layers.Dropout):
            own = getattr(layer, "rate", getattr(layer, "dropout_rate", below.rate))
            set_dropout_rate(below, own)
        else:
            _set(below, rates)


def _set_template(template: Any, rates: dict[str, float]) -> None:
    config = (template or {}).get("config", {})
    config.update({name: rates[name] for name in RATES if name in config})


def set_dtype(model: keras.Model, dtype: str | keras.DTypePolicy) -> None:
    """Change the dtype policy of a built model; its weights stay as they are.

    Args:
        model: functional, such as a `ViT`, or a `TrainingModel` around one.
        dtype: policy with the variable dtype of the model: "mixed_bfloat16",
            "mixed_float16" or "float32" for weights in float32.

    Raises:
        ValueError: if the weights would need another dtype, or are quantized.
    """
    policy: Any = keras.dtype_policies.get(dtype)
    inside: Any = getattr(model, "model", model)
    layers = [
        layer
        for layer in all_layers(inside)
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    for layer in layers:
        own = layer.dtype_policy
        quantized = own.quantization_mode or policy.quantization_mode
        if quantized or own.variable_dtype != policy.variable_dtype:
            raise ValueError(
                "set_dtype keeps the weights and changes the computation, received "
                f"dtype={policy.name!r} for layer {layer.name!r} with "
                f"{own.name!r}. Build or load the model with dtype={policy.name!r}."
            )
    for layer in [*layers, model]:
        layer.dtype_policy = policy
    for compiled in {id(m): m for m in (model, inside)}.values():
        forget_compiled_steps(compiled)


def set_rematerialization(model: keras.Model, mode: str | None) -> None:
    """Choose whether blocks are computed again in the backward pass, to save memory.

    Args:
        model: `ViT`, or a `TrainingModel` around one.
        mode: of `keras.RematScope`: "full" for each block as a whole, "activations"
            for the activations alone, or None for nothing.

    Raises:
        ValueError: if `mode` is none of those.
    """
    if mode not in _REMATERIALIZATION:
        raise ValueError(
            f"mode must be one of {list(_REMATERIALIZATION)}, received mode={mode!r}. "
            "Build the model inside keras.RematScope(...) for the other modes."
        )
    inside: Any = getattr(model, "model", model)
    for layer in inside.layers:
        if not layer.name.startswith("block_"):
            continue
        # As the scope would: "full" wraps the block, "activations" what is in it.
        for each in [layer] if mode == "full" else all_layers(layer):
            set_rematerialization_mode(each, mode)
    for compiled in {id(m): m for m in (model, inside)}.values():
        forget_compiled_steps(compiled)
