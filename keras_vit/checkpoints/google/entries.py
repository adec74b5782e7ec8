"""The arrays in the `.npz` files of Google's JAX code.

Names: D hidden, h heads, d width of a head, M mlp, P patch, C channels.
Reference: google-research/vision_transformer, vit_jax/models_vit.py, and
google-research/big_vision, models/vit.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from keras_vit.checkpoints.entries import Entry, Layout, reshaped
from keras_vit.checkpoints.google.config import NpzNaming
from keras_vit.checkpoints.layer_entries import LayerNames
from keras_vit.config import ViTConfig

FLAX = LayerNames(
    kernel="/kernel",
    bias="/bias",
    gamma="/scale",
    beta="/bias",
    # Some files have vectors as (1, 1, 1, n).
    vector_layout=Layout(lambda x: x.reshape(-1), lambda x: x),
)


def npz_entries(config: ViTConfig, naming: NpzNaming) -> list[Entry]:
    """Return where Google's code keeps each weight.

    Args:
        config: of the model.
        naming: how the arrays are called.
    """
    return list(_entries(config, naming))


def _entries(config: ViTConfig, naming: NpzNaming) -> Iterator[Entry]:
    prefix, dim = naming.prefix, config.hidden_dim
    kernel = (*config.patch_size, config.channels, dim)
    grid = table = (1, config.num_position_rows, dim)
    if naming.is_linear:
        kernel, grid = (config.patch_dim, dim), (*config.grid_size, dim)
    layout = reshaped((config.patch_dim, dim), kernel)
    projection = "patch_encoder/projection", f"{prefix}embedding"
    yield from FLAX.dense(*projection, kernel=layout)
    yield Entry("patch_encoder/class_token/token", (f"{prefix}cls",))
    positions = "patch_encoder/position_embedding/table"
    yield Entry(positions, (prefix + naming.table,), reshaped(table, grid))
    yield from _blocks(config, naming)
    yield from FLAX.norm("norm", f"{prefix}Transformer/encoder_norm")
    yield from _attention_pooling(config, prefix + naming.pooling)
    yield from FLAX.dense("head/representation", f"{prefix}pre_logits")
    yield from FLAX.dense("head/logits", f"{prefix}head")


def _blocks(config: ViTConfig, naming: NpzNaming) -> Iterator[Entry]:
    blocks = [list(_block(config, i, naming)) for i in range(config.num_layers)]
    if not naming.is_stacked:
        for block in blocks:
            yield from block
        return
    # Ordered by array, so that each is read once.
    for same in zip(*blocks, strict=True):
        for i, entry in enumerate(same):
            layout = _of_layer(entry.layout, i, config.num_layers)
            yield replace(entry, layout=layout, shared_axis=0)


def _block(config: ViTConfig, i: int, naming: NpzNaming) -> Iterator[Entry]:
    ours, theirs = f"block_{i}", naming.block(i)
    norm, attention, mlp_norm, mlp = (theirs + part for part in naming.block_parts)
    heads = config.num_heads
    yield from _attention(config, heads, f"{ours}/attention", attention, {"qkv": "qkv"})
    yield from _mlp(f"{ours}/mlp", mlp)
    yield from FLAX.norm(f"{ours}/attention_norm", norm)
    yield from FLAX.norm(f"{ours}/mlp_norm", mlp_norm)


def _attention_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    yield Entry("pooling/probe", (f"{theirs}probe",))
    attention, heads = (
        f"{theirs}MultiHeadDotProductAttention_0",
        config.num_pooling_heads,
    )
    layers = {"query": "q", "key_value": "kv"}
    yield from _attention(config, heads, "pooling", attention, layers)
    yield from FLAX.norm("pooling/norm", f"{theirs}LayerNorm_0")
    yield from _mlp("pooling/mlp", f"{theirs}MlpBlock_0")


_PARTS = {"q": "query", "k": "key", "v": "value"}


def _attention(
    config: ViTConfig, heads: int, ours: str, theirs: str, layers: dict[str, str]
) -> Iterator[Entry]:
    dim = config.hidden_dim
    for layer, letters in layers.items():
        parts = (f"{theirs}/{_PARTS[letter]}" for letter in letters)
        yield from FLAX.into_heads(dim, heads, f"{ours}/{layer}", *parts)
    output = f"{ours}/output_projection"
    yield from FLAX.from_heads(dim, heads, output, f"{theirs}/out")


def _mlp(ours: str, theirs: str) -> Iterator[Entry]:
    yield from FLAX.dense(f"{ours}/expand", f"{theirs}/Dense_0")
    yield from FLAX.dense(f"{ours}/contract", f"{theirs}/Dense_1")


def _of_layer(layout: Layout, layer: int, num_layers: int) -> Layout:
    """Return one layer of an array that has all of them, without a copy of it."""

    def load(array: np.ndarray) -> np.ndarray:
        is_stack = array.shape[:1] == (num_layers,)
        return layout.load(array[layer]) if is_stack else array

    return Layout(load, lambda array: layout.store(array)[None])
