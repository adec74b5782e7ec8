"""The arrays of KerasHub's vision models.

Keras names the groups of a file after classes and attributes, so that each class has
names of its own; the table is `names.json`. Names: D hidden, h heads, d width of a
head, N patches, P patch, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vit.checkpoints.entries import Entry, Layout, reshaped
from keras_vit.checkpoints.files.json import read_table
from keras_vit.checkpoints.layer_entries import LayerNames
from keras_vit.config import ViTConfig

KERAS = LayerNames(kernel="/vars/0", bias="/vars/1", gamma="/vars/0", beta="/vars/1")


@dataclass(frozen=True, kw_only=True, slots=True)
class HubNames:
    """Where the parts of one class are.

    Args:
        tokens: the layer that makes the patches and holds the tokens.
        convolution: of that layer, what makes the patches.
        has_table: whether the positions are a layer of that layer; else they follow
            the tokens.
        block: the first block; the others have _1, _2, ... behind.
        block_norms: of a block, before attention and before the MLP.
        attention: of a block, what stands before query_dense.
        mlp: of a block, the layers; of a gated one, gate and values first.
        gated_mlp: the same, of a class that has both.
        scales: of a block, the layer scales of attention and MLP.
        norm: the last one.
        is_norm_outside: whether the last one is in the model around the encoder.
        pre_norm: before the blocks.
        pooling: attention pooling.
    """

    tokens: str
    convolution: str = "patch_embedding"
    has_table: bool = False
    block: str
    block_norms: tuple[str, str] = ("norm1", "norm2")
    attention: str = "attention/"
    mlp: tuple[str, ...] = ("mlp/fc1", "mlp/fc2")
    gated_mlp: tuple[str, ...] = ()
    scales: tuple[str, str] = ("layer_scale1", "layer_scale2")
    norm: str = "layers/layer_normalization"
    is_norm_outside: bool = False
    pre_norm: str = ""
    pooling: str = ""


def _read_names() -> dict[str, HubNames]:
    names = {}
    for cls, row in read_table("keras_hub/names.json").items():
        parts: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in row.items()
        }
        names[cls] = HubNames(**parts)
    return names


NAMES = _read_names()


@dataclass(frozen=True, kw_only=True, slots=True)
class HubArrays:
    """Which arrays of one folder are what.

    Args:
        names: where the parts of the class are.
        prefix: of all names, up to the layers of the vision model.
        token_numbers: from a token or table of ours to its number among the variables.
        position_ids: which row of the table each token reads; None: its own.
    """

    names: HubNames
    prefix: str
    token_numbers: dict[str, int]
    position_ids: np.ndarray | None


def hub_entries(config: ViTConfig, hub: HubArrays) -> list[Entry]:
    """Return where KerasHub keeps each weight.

    Args:
        config: of the model.
        hub: which arrays are what.
    """
    return list(_entries(config, hub))


def _entries(config: ViTConfig, hub: HubArrays) -> Iterator[Entry]:
    names, prefix, dim = hub.names, hub.prefix, config.hidden_dim
    tokens, kernel = prefix + names.tokens, (*config.patch_size, config.channels, dim)
    layout = reshaped((config.patch_dim, dim), kernel)
    projection = "patch_encoder/projection", f"{tokens}/{names.convolution}"
    yield from KERAS.dense(*projection, kernel=layout)
    for part, number in hub.token_numbers.items():
        layout = Layout(lambda x: x.reshape(1, -1, dim), lambda x: x)
        yield Entry(f"patch_encoder/{part}", (f"{tokens}/vars/{number}",), layout)
    if names.has_table:
        table, name = "patch_encoder/position_embedding/table", "position_embedding"
        layout = _table(hub.position_ids)
        yield Entry(table, (f"{tokens}/{name}/vars/0",), layout)
    yield from KERAS.norm("pre_norm", prefix + names.pre_norm)
    for i in range(config.num_layers):
        block = f"{prefix}{names.block}{f'_{i}' if i else ''}/"
        yield from _block(config, f"block_{i}", block, names)
    around = "" if names.is_norm_outside else prefix
    yield from KERAS.norm("norm", around + names.norm)
    yield from _attention_pooling(config, prefix + names.pooling)
    layers = ["representation"] if config.representation_size else []
    for i, layer in enumerate([*layers, "logits"]):
        name = f"task/layers/dense{f'_{i}' if i else ''}"
        yield from KERAS.dense(f"head/{layer}", name)


def _table(position_ids: np.ndarray | None) -> Layout:
    if position_ids is None:
        return Layout(lambda x: x[None], lambda x: x[0])
    return Layout(lambda x: x[position_ids][None], lambda x: x[0])


def _block(
    config: ViTConfig, ours: str, theirs: str, names: HubNames
) -> Iterator[Entry]:
    parts = ("attention", "mlp")
    for part, norm, scale in zip(parts, names.block_norms, names.scales, strict=True):
        yield from KERAS.norm(f"{ours}/{part}_norm", theirs + norm)
        yield Entry(f"{ours}/{part}_scale/gamma", (f"{theirs}{scale}/vars/0",))
    attention = theirs + names.attention
    layers = {"qkv": ("query", "key", "value")}
    heads = config.num_heads
    yield from _attention(config, heads, f"{ours}/attention", attention, layers)
    for part in ("query", "value"):
        bias = f"{ours}/attention/query_value_bias/{part}_bias"
        yield Entry(bias, (f"{attention}{part}_dense/vars/1",))
    mlp = names.gated_mlp if config.mlp == "gated" else names.mlp
    yield from _mlp(config, f"{ours}/mlp", [theirs + layer for layer in mlp])


def _attention(
    config: ViTConfig,
    heads: int,
    ours: str,
    theirs: str,
    layers: dict[str, tuple[str, ...]],
) -> Iterator[Entry]:
    dim = config.hidden_dim
    for layer, parts in layers.items():
        names = (f"{theirs}{part}_dense" for part in parts)
        yield from KERAS.into_heads(dim, heads, f"{ours}/{layer}", *names)
    output = f"{ours}/output_projection", f"{theirs}output_dense"
    yield from KERAS.from_heads(dim, heads, *output)


def _mlp(config: ViTConfig, ours: str, layers: list[str]) -> Iterator[Entry]:
    *expand, contract = layers
    widths = (config.mlp_dim,) * len(expand)
    yield from KERAS.dense(f"{ours}/expand", *expand, widths=widths)
    yield from KERAS.dense(f"{ours}/contract", contract)


def _attention_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    yield Entry("pooling/probe", (f"{theirs}/vars/0",))
    layers = {"query": ("query",), "key_value": ("key", "value")}
    attention, heads = f"{theirs}/attention/", config.num_pooling_heads
    yield from _attention(config, heads, "pooling", attention, layers)
    yield from KERAS.norm("pooling/norm", f"{theirs}/layer_norm")
    layers = [f"{theirs}/mlp/fc1", f"{theirs}/mlp/fc2"]
    yield from _mlp(config, "pooling/mlp", layers)
