"""The arrays of KerasHub's vision models.

Keras names the groups of a file after classes and attributes, so that each class has
names of its own; `NAMES` is the table. Names: D hidden, h heads, d width of a head,
N patches, P patch, C channels.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from keras_vit.checkpoints.entries import Entry, Layout
from keras_vit.config import ViTConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class HubNames:
    """Where the parts of one class are.

    Args:
        patch: the convolution that makes the patches.
        tokens: the layer that holds the tokens.
        table: the positions; "" if they follow the tokens.
        block: the first block; the others have _1, _2, ... behind.
        block_norms: of a block, before attention and before the MLP.
        attention: of a block, what stands before query_dense.
        mlp: of a block, the layers; of a gated one, gate and values first.
        scales: of a block, the layer scales of attention and MLP.
        norm: the last one.
        outer_norm: the last one, if it is in the model around the encoder.
        pre_norm: before the blocks.
        pooling: attention pooling.
    """

    patch: str
    tokens: str
    table: str = ""
    block: str
    block_norms: tuple[str, str]
    attention: str
    mlp: tuple[str, ...]
    gated_mlp: tuple[str, ...] = ()
    scales: tuple[str, str] = ("", "")
    norm: str = ""
    outer_norm: str = ""
    pre_norm: str = ""
    pooling: str = ""


_SCALES = ("layer_scale1", "layer_scale2")


def _clip(name: str, *, norm: str = "", outer_norm: str = "") -> HubNames:
    return HubNames(
        patch=f"layers/{name}_vision_embedding/patch_embedding",
        tokens=f"layers/{name}_vision_embedding",
        table=f"layers/{name}_vision_embedding/position_embedding",
        block=f"layers/{name}_encoder_layer",
        block_norms=("layer_norm_1", "layer_norm_2"),
        attention="attention/",
        mlp=("dense_1", "dense_2"),
        norm=norm,
        outer_norm=outer_norm,
        pre_norm="layers/layer_normalization",
    )


NAMES = {
    "ViTBackbone": HubNames(
        patch="layers/vi_t_patching_and_embedding/patch_embedding",
        tokens="layers/vi_t_patching_and_embedding",
        table="layers/vi_t_patching_and_embedding/position_embedding",
        block="layers/vi_t_encoder/encoder_layers/vi_t_encoder_block",
        block_norms=("layer_norm_1", "layer_norm_2"),
        attention="mha/",
        mlp=("mlp/dense_1", "mlp/dense_2"),
        norm="layers/vi_t_encoder/layer_norm",
    ),
    "DeiTBackbone": HubNames(
        patch="layers/dei_t_embeddings/patch_embedding",
        tokens="layers/dei_t_embeddings",
        block="layers/dei_t_encoder/encoder_layers/dei_t_encoder_block",
        block_norms=("layer_norm_1", "layer_norm_2"),
        attention="mha/",
        mlp=("mlp/dense", "output_layer/dense"),
        norm="layers/dei_t_encoder/layer_norm",
    ),
    "DINOV2Backbone": HubNames(
        patch="layers/dinov2_embedding/patch_embeddings/projection",
        tokens="layers/dinov2_embedding",
        block="layers/dinov2_encoder/layers/dinov2_layer",
        block_norms=("norm1", "norm2"),
        attention="attention/attention/",
        mlp=("mlp/fc1", "mlp/fc2"),
        gated_mlp=("mlp/weights_in", "mlp/weights_out"),
        scales=_SCALES,
        norm="layers/layer_normalization",
    ),
    "DINOV3Backbone": HubNames(
        patch="layers/dinov3_embedding/patch_embeddings/projection",
        tokens="layers/dinov3_embedding",
        block="layers/dinov3_encoder/layers/dinov3_layer",
        block_norms=("norm1", "norm2"),
        attention="attention/",
        mlp=("mlp/up_proj", "mlp/down_proj"),
        gated_mlp=("mlp/gate_proj", "mlp/up_proj", "mlp/down_proj"),
        scales=_SCALES,
        norm="layers/layer_normalization",
    ),
    "SigLIPVisionEncoder": HubNames(
        patch="layers/sig_lip_vision_embedding/patch_embedding",
        tokens="layers/sig_lip_vision_embedding",
        table="layers/sig_lip_vision_embedding/position_embedding",
        block="layers/sig_lip_encoder_layer",
        block_norms=("layer_norm1", "layer_norm2"),
        attention="self_attn/",
        mlp=("mlp/fc1", "mlp/fc2"),
        norm="layers/layer_normalization",
        pooling="layers/sig_lip_multi_head_attention_pooling",
    ),
    "CLIPVisionEncoder": _clip("clip", norm="layers/layer_normalization_1"),
    "MetaCLIP2VisionEncoder": _clip(
        "meta_clip2", outer_norm="layers/layer_normalization"
    ),
}


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


def hub_entries(
    config: ViTConfig, hub: HubArrays, present: Container[str]
) -> list[Entry]:
    """Return where KerasHub keeps each weight.

    Args:
        config: of the model.
        hub: which arrays are what.
        present: names of the arrays.
    """
    return list(_entries(config, hub, present))


def _entries(
    config: ViTConfig, hub: HubArrays, present: Container[str]
) -> Iterator[Entry]:
    names, prefix, dim = hub.names, hub.prefix, config.hidden_dim
    kernel = (*config.patch_size, config.channels, dim)
    patch = f"{prefix}{names.patch}/vars"
    yield Entry(
        "patch_encoder/projection/kernel",
        (f"{patch}/0",),
        _shaped((config.patch_dim, dim), kernel),
    )
    yield Entry("patch_encoder/projection/bias", (f"{patch}/1",))
    for part, number in hub.token_numbers.items():
        layout = Layout(lambda x: x.reshape(1, -1, dim), lambda x: x)
        name = f"{prefix}{names.tokens}/vars/{number}"
        yield Entry(f"patch_encoder/{part}", (name,), layout)
    if names.table:
        yield Entry(
            "patch_encoder/position_embedding/table",
            (f"{prefix}{names.table}/vars/0",),
            _table(hub.position_ids),
        )
    yield from _norm("pre_norm", prefix + names.pre_norm)
    for i in range(config.num_layers):
        block = f"{prefix}{names.block}{f'_{i}' if i else ''}/"
        yield from _block(config, f"block_{i}", block, names, present)
    yield from _norm("norm", names.outer_norm or prefix + names.norm)
    yield from _attention_pooling(config, prefix + names.pooling)
    yield from _head(config)


def _table(position_ids: np.ndarray | None) -> Layout:
    if position_ids is None:
        return Layout(lambda x: x[None], lambda x: x[0])
    return Layout(lambda x: x[position_ids][None], lambda x: x[0])


def _shaped(ours: tuple[int, ...], theirs: tuple[int, ...]) -> Layout:
    """Return the same values in another shape; another shape than theirs stays."""

    def load(array: np.ndarray) -> np.ndarray:
        return array.reshape(ours) if array.shape == theirs else array

    return Layout(load, lambda array: array.reshape(theirs))


def _block(
    config: ViTConfig,
    ours: str,
    theirs: str,
    names: HubNames,
    present: Container[str],
) -> Iterator[Entry]:
    parts = ("attention", "mlp")
    for part, norm, scale in zip(parts, names.block_norms, names.scales, strict=True):
        yield from _norm(f"{ours}/{part}_norm", theirs + norm)
        yield Entry(f"{ours}/{part}_scale/gamma", (f"{theirs}{scale}/vars/0",))
    sizes = config.hidden_dim, config.num_heads
    attention = theirs + names.attention
    yield from _projections(*sizes, f"{ours}/attention/qkv", attention, "qkv")
    for part in ("query", "value"):
        yield Entry(
            f"{ours}/attention/query_value_bias/{part}_bias",
            (f"{attention}{part}_dense/vars/1",),
        )
    yield from _output(*sizes, f"{ours}/attention", attention)
    layers = names.gated_mlp if config.mlp == "gated" else names.mlp
    yield from _mlp(config.mlp_dim, f"{ours}/mlp", [theirs + x for x in layers])


_PARTS = {"q": "query_dense", "k": "key_dense", "v": "value_dense"}


def _projections(
    dim: int, heads: int, ours: str, theirs: str, letters: str
) -> Iterator[Entry]:
    parts = [theirs + _PARTS[letter] for letter in letters]
    widths = (dim,) * len(parts)
    # (D, h, d) or (D, D); heads are beside each other in both.
    kernel = _shaped((dim, dim), (dim, heads, dim // heads))
    bias = _shaped((dim,), (heads, dim // heads))
    for number, (name, layout) in enumerate((("kernel", kernel), ("bias", bias))):
        arrays = tuple(f"{part}/vars/{number}" for part in parts)
        yield Entry(f"{ours}/{name}", arrays, layout, widths=widths)


def _output(dim: int, heads: int, ours: str, theirs: str) -> Iterator[Entry]:
    name, ours = f"{theirs}output_dense/vars", f"{ours}/output_projection"
    kernel = _shaped((dim, dim), (heads, dim // heads, dim))
    yield Entry(f"{ours}/kernel", (f"{name}/0",), kernel)
    yield Entry(f"{ours}/bias", (f"{name}/1",))


def _mlp(width: int, ours: str, layers: list[str]) -> Iterator[Entry]:
    *expand, contract = layers
    widths = (width,) * len(expand)
    for number, name in enumerate(("kernel", "bias")):
        arrays = tuple(f"{layer}/vars/{number}" for layer in expand)
        yield Entry(f"{ours}/expand/{name}", arrays, widths=widths)
        yield Entry(f"{ours}/contract/{name}", (f"{contract}/vars/{number}",))


def _norm(ours: str, theirs: str) -> Iterator[Entry]:
    yield Entry(f"{ours}/gamma", (f"{theirs}/vars/0",))
    yield Entry(f"{ours}/beta", (f"{theirs}/vars/1",))


def _attention_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    sizes = config.hidden_dim, config.num_pooling_heads
    attention = f"{theirs}/attention/"
    yield Entry("pooling/probe", (f"{theirs}/vars/0",))
    yield from _projections(*sizes, "pooling/query", attention, "q")
    yield from _projections(*sizes, "pooling/key_value", attention, "kv")
    yield from _output(*sizes, "pooling", attention)
    yield from _norm("pooling/norm", f"{theirs}/layer_norm")
    layers = [f"{theirs}/mlp/fc1", f"{theirs}/mlp/fc2"]
    yield from _mlp(config.mlp_dim, "pooling/mlp", layers)


def _head(config: ViTConfig) -> Iterator[Entry]:
    layers = ["representation"] if config.representation_size else []
    for i, layer in enumerate([*layers, "logits"]):
        name = f"task/layers/dense{f'_{i}' if i else ''}/vars"
        yield Entry(f"head/{layer}/kernel", (f"{name}/0",))
        yield Entry(f"head/{layer}/bias", (f"{name}/1",))
