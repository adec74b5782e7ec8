"""Low-rank adaptation: train small factors beside frozen matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_vit.keras_internals import forget_compiled_steps, remove_lora, sublayers

LORA_LAYERS = ("attention/qkv", "attention/output_projection")


def add_lora(
    model: keras.Model,
    rank: int,
    *,
    alpha: float | None = None,
    layers: str | Sequence[str] = LORA_LAYERS,
    train_head: bool = True,
) -> None:
    """Freeze a model and give some of its Dense layers trainable low-rank factors.

    A kernel W becomes W + alpha / rank * A B with A of shape (inputs, rank), random,
    and B of shape (rank, outputs), zero, so that the model computes the same at first.
    Compile it afterwards. A saved model holds the sum of both, without the factors, and
    loads as any other; `merge_lora` does the same in place.

    Args:
        model: functional, such as a `ViT`.
        rank: of the factors, at least 1.
        alpha: strength, above 0. Default None: `rank`, a factor of 1.
        layers: end of the path of Dense layers, or several, for example
            "attention/qkv", "mlp/expand" or "block_3/mlp/contract". Default: both
            matrices of the attention.
        train_head: whether the last layer of the model trains, too. Default True.

    Raises:
        ValueError: if `rank` is out of range, a name fits no Dense layer (the message
            lists them), or the model has such factors already.

    Reference: arXiv:2106.09685, section 4.1; `keras.layers.Dense.enable_lora`.
    """
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ValueError(
            f"rank must be a whole number of at least 1, received rank={rank!r}."
        )
    dense = dense_layers(model)
    if has_lora(model):
        raise ValueError(
            "The model has LoRA factors already. Call merge_lora(model) first."
        )
    chosen = {}
    for name in (layers,) if isinstance(layers, str) else layers:
        found = {p: d for p, d in dense.items() if f"/{p}".endswith(f"/{name}")}
        if not found:
            endings = sorted({p.split("/", 1)[-1] for p in dense})
            raise ValueError(
                f"layers must name Dense layers of the model, received {name!r}. It "
                f"has {endings}."
            )
        chosen |= found
    head = model.layers[-1]
    for layer in model.layers:
        if layer is not head or not train_head:
            _freeze_except(layer, list(chosen.values()))
    for layer in chosen.values():
        layer.trainable = True
        layer.enable_lora(rank, lora_alpha=alpha)
        if layer.bias is not None:
            layer.bias.trainable = False
    forget_compiled_steps(model)


def merge_lora(model: keras.Model) -> None:
    """Add the factors to the kernels and remove them; all layers train again.

    The model computes the same, up to rounding. Compile it afterwards.

    Raises:
        ValueError: if the model has no such factors.
    """
    if not has_lora(model):
        raise ValueError(
            "The model has no LoRA factors. Call add_lora(model, 8) first."
        )
    for layer in dense_layers(model).values():
        if layer.lora_enabled:
            remove_lora(layer)
    for layer in model.layers:
        layer.trainable = True
    weights: Any = model.weights
    for weight in weights:
        weight.trainable = True
    forget_compiled_steps(model)


def has_lora(model: keras.Model) -> bool:
    """Return whether a Dense layer of a model has low-rank factors."""
    return any(layer.lora_enabled for layer in dense_layers(model).values())


def dense_layers(model: keras.Model) -> dict[str, Any]:
    """Return the Dense layers of a model by path, such as "block_0/attention/qkv"."""
    found: dict[str, Any] = {}

    def walk(layer: Any, path: str) -> None:
        if isinstance(layer, keras.layers.Dense):
            found[path] = layer
        for below in sublayers(layer):
            walk(below, f"{path}/{below.name}")

    for layer in model.layers:
        walk(layer, layer.name)
    return found


def _freeze_except(layer: Any, chosen: list[Any]) -> bool:
    """Freeze what is in a layer but `chosen`; return whether one of these is in it."""
    holds = any(layer is other for other in chosen)
    for below in sublayers(layer):
        holds = _freeze_except(below, chosen) or holds
    if not holds:
        layer.trainable = False
        return False
    own = {id(w) for below in sublayers(layer) for w in below.weights}
    for weight in layer.weights:
        if id(weight) not in own:
            weight.trainable = False
    return True
