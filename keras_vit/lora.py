"""Low-rank adaptation: train small factors beside frozen matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_vit.keras_internals import all_layers, layer_paths, sublayers

LORA_LAYERS = ("attention/qkv", "attention/output_projection")


@dataclass(frozen=True, slots=True)
class LoRA:
    """Which matrices get trainable low-rank factors; `changed(model, lora=LoRA(8))`.

    A kernel W becomes W + alpha / rank * A B with A of shape (inputs, rank), random,
    and B of shape (rank, outputs), zero, so that the model computes the same at first.
    All else is frozen, apart from the head. A saved model holds the sum of both,
    without the factors, and loads as any other; `changed(model, lora=None)` gives it.

    Args:
        rank: of the factors, at least 1. Default 8.
        alpha: strength, above 0. Default None: `rank`, a factor of 1.
        layers: end of the path of Dense layers, or several, for example
            "attention/qkv", "mlp/expand" or "block_3/mlp/contract". Default: both
            matrices of the attention.
        train_head: whether the last layer of the model trains, too. Default True.

    Raises:
        ValueError: if `rank` is out of range.

    Example:
        ```python
        backbone = keras_vit.load("facebook/dinov2-small", image_size="preprocessing")
        model = keras_vit.replace_head(backbone, 2)
        adapted = keras_vit.changed(model, lora=keras_vit.LoRA(rank=4))
        adapted.count_params() > model.count_params()  # True
        ```

    Reference: arXiv:2106.09685, section 4.1; `keras.layers.Dense.enable_lora`.
    """

    rank: int = 8
    alpha: float | None = None
    layers: str | Sequence[str] = LORA_LAYERS
    train_head: bool = True

    def __post_init__(self) -> None:
        rank = self.rank
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise ValueError(
                f"rank must be a whole number of at least 1, received rank={rank!r}."
            )


def dense_layers(model: keras.Model) -> dict[str, Any]:
    """Return the Dense layers of a model by path, such as "block_0/attention/qkv"."""
    layers = layer_paths(model).items()
    return {path: x for path, x in layers if isinstance(x, keras.layers.Dense)}


def has_lora(model: keras.Model) -> bool:
    """Return whether a Dense layer of a model has low-rank factors."""
    return bool(_adapted(model))


def add_factors(model: keras.Model, lora: LoRA) -> None:
    """Give factors to the Dense layers of a new copy, and freeze what is not to train.

    Raises:
        ValueError: if a name fits no Dense layer; the message lists them.
    """
    chosen = _chosen(model, lora.layers)
    head = model.layers[-1]
    for layer in model.layers:
        if layer is not head or not lora.train_head:
            _freeze_except(layer, chosen)
    for layer in chosen:
        layer.trainable = True
        layer.enable_lora(lora.rank, lora_alpha=lora.alpha)
        if layer.bias is not None:
            layer.bias.trainable = False


def copy_factors(model: keras.Model, copy: keras.Model) -> None:
    """Give a copy the factors of a model, where it has the same Dense layers.

    Raises:
        ValueError: if a layer with factors has another size in the copy.
    """
    targets = dense_layers(copy)
    for path, dense in _adapted(model).items():
        target = targets.get(path)
        if target is None:
            continue
        if target.kernel.shape != dense.kernel.shape:
            raise ValueError(
                "LoRA factors fit kernels of one size, received another one for "
                f"{path!r}. Merge them first: keras_vit.changed(model, lora=None)."
            )
        target.enable_lora(dense.lora_rank, lora_alpha=dense.lora_alpha)
        for name in ("lora_kernel_a", "lora_kernel_b"):
            getattr(target, name).assign(ops.copy(getattr(dense, name).value))


def weights_and_values(
    model: keras.Model, *, merges: bool
) -> Iterator[tuple[Any, Any]]:
    """Yield each weight but the factors, with its value, a tensor that may be shared.

    Args:
        model: built.
        merges: whether the value of a kernel with factors is the sum of both.

    Raises:
        ValueError: if a kernel with factors is no floating-point matrix.
    """
    adapted = _adapted(model).values()
    factors = {id(f) for d in adapted for f in (d.lora_kernel_a, d.lora_kernel_b)}
    sums = {}
    for dense in adapted if merges else ():
        (kernel,) = (w for w in dense.weights if w.name == "kernel")
        if "float" not in keras.backend.standardize_dtype(kernel.dtype):
            raise ValueError(
                "Merging LoRA factors needs a kernel of floating point, received "
                f"{kernel.path!r} of type {kernel.dtype}. Merge them before quantizing."
            )
        sums[id(kernel)] = dense.kernel
    weights: Any = model.weights
    for weight in weights:
        if id(weight) not in factors:
            yield weight, ops.convert_to_tensor(sums.get(id(weight), weight))


def clear_factors(model: keras.Model) -> None:
    """Let the factors of a model add nothing."""
    for dense in _adapted(model).values():
        dense.lora_kernel_b.assign(ops.zeros(dense.lora_kernel_b.shape))


def _adapted(model: keras.Model) -> dict[str, Any]:
    return {p: dense for p, dense in dense_layers(model).items() if dense.lora_enabled}


def _chosen(model: keras.Model, endings: str | Sequence[str]) -> list[Any]:
    """Return the Dense layers whose paths end so."""
    dense, chosen = dense_layers(model), {}
    for name in (endings,) if isinstance(endings, str) else endings:
        found = {p: d for p, d in dense.items() if f"/{p}".endswith(f"/{name}")}
        if not found:
            known = sorted({p.split("/", 1)[-1] for p in dense})
            raise ValueError(
                f"layers must name Dense layers of the model, received {name!r}. It "
                f"has {known}."
            )
        chosen |= found
    return list(chosen.values())


def _freeze_except(outer: Any, chosen: list[Any]) -> None:
    """Freeze what is in a layer but `chosen`, with the weights of what holds these."""
    ids = {id(layer) for layer in chosen}
    for layer in all_layers(outer):
        if ids.isdisjoint(id(below) for below in all_layers(layer)):
            layer.trainable = False
            continue
        below = {id(w) for inner in sublayers(layer) for w in inner.weights}
        for weight in layer.weights:
            if id(weight) not in below:
                weight.trainable = False
