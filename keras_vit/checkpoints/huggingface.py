"""The arrays of the plain ViTs of transformers.

transformers 5 renamed the modules of some families, but writes the historical names;
both are read, the historical ones are written. Shapes: C channels, D hidden, N
positions, P patch.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace

import numpy as np

from keras_vit.checkpoints.entries import LINEAR, SAME, Entry, Layout, patch_kernel
from keras_vit.config import ViTConfig

# Before the names of the tower, by the model around it.
PREFIXES = (
    *("", "vit.", "deit.", "dinov2.", "dinov2_with_registers.", "ijepa.", "pixio."),
    *("vision_model.", "model.", "model.vision_model.", "clip.vision_model."),
    *("vision_tower.", "model.vision_tower."),
)


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a family calls its parts; a part that it lacks has no name.

    Args:
        patches: the projection of the patches.
        class_token: the array.
        distillation_token: the array.
        registers: the array.
        positions: the array.
        patch_norm: after the patches.
        pre_norm: before the first block.
        norm: after the last block.
        block: with the number of the block as {}.
        attention_norm: in a block, as all that follows.
        mlp_norm: before the MLP.
        qkv: queries, keys and values, or one layer for the three.
        query_norm: of the queries.
        key_norm: of the keys.
        output: of the attention.
        expand: first layer of the MLP.
        contract: second layer of the MLP.
        gated_expand: gate and values of a gated MLP, or one layer for both.
        gated_contract: last layer of a gated MLP.
        scales: layer scale of attention and MLP.
        table: layout of the positions.
        token: layout of the class token.
        is_linear: whether the patches are projected from flat pixels.
    """

    patches: str
    block: str
    attention_norm: str
    mlp_norm: str
    qkv: tuple[str, ...]
    output: str
    expand: str = "mlp.fc1"
    contract: str = "mlp.fc2"
    gated_expand: tuple[str, ...] = ()
    gated_contract: str = ""
    class_token: str = ""
    distillation_token: str = ""
    registers: str = ""
    positions: str = ""
    patch_norm: str = ""
    pre_norm: str = ""
    norm: str = "layernorm"
    query_norm: str = ""
    key_norm: str = ""
    scales: tuple[str, ...] = ()
    table: Layout = SAME
    token: Layout = SAME
    is_linear: bool = False


_QKV = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
_SWIGLU = ("mlp.gate_proj", "mlp.up_proj")

VIT = Naming(
    patches="embeddings.patch_embeddings.projection",
    class_token="embeddings.cls_token",
    distillation_token="embeddings.distillation_token",
    registers="embeddings.register_tokens",
    positions="embeddings.position_embeddings",
    block="encoder.layer.{}",
    attention_norm="layernorm_before",
    mlp_norm="layernorm_after",
    qkv=tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
    output="attention.output.dense",
    expand="intermediate.dense",
    contract="output.dense",
)
VIT_RENAMED = replace(
    VIT,
    block="layers.{}",
    qkv=_QKV,
    output="attention.o_proj",
    expand="mlp.fc1",
    contract="mlp.fc2",
)
# Its distillation token is read as a register, unless it has a classifier.
DEIT = replace(VIT, registers="embeddings.distillation_token")
DEIT_RENAMED = replace(VIT_RENAMED, registers="embeddings.distillation_token")
DINOV2 = replace(
    VIT,
    attention_norm="norm1",
    mlp_norm="norm2",
    expand="mlp.fc1",
    contract="mlp.fc2",
    gated_expand=("mlp.weights_in",),
    gated_contract="mlp.weights_out",
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
)
DINOV2_RENAMED = replace(
    DINOV2,
    qkv=_QKV,
    output="attention.o_proj",
    gated_expand=_SWIGLU,
    gated_contract="mlp.down_proj",
)
DINOV3 = replace(
    DINOV2_RENAMED,
    patches="embeddings.patch_embeddings",
    block="layer.{}",
    norm="norm",
    expand="mlp.up_proj",
    contract="mlp.down_proj",
)
# Several class tokens, which are registers here.
PIXIO = replace(
    VIT,
    class_token="",
    registers="embeddings.cls_token",
    attention_norm="norm1",
    mlp_norm="norm2",
)
PIXIO_RENAMED = replace(VIT_RENAMED, class_token="", registers="embeddings.cls_token")
CLIP = Naming(
    patches="embeddings.patch_embedding",
    class_token="embeddings.class_embedding",
    positions="embeddings.position_embedding.weight",
    pre_norm="pre_layrnorm",  # The name that the files have.
    norm="post_layernorm",
    block="encoder.layers.{}",
    attention_norm="layer_norm1",
    mlp_norm="layer_norm2",
    qkv=tuple(f"self_attn.{part}_proj" for part in "qkv"),
    output="self_attn.out_proj",
    token=Layout(lambda x: x[None, None], lambda x: x[0, 0]),  # (D,)
    table=Layout(lambda x: x[None], lambda x: x[0]),  # (N, D)
)
# What transformers 5 writes for AltCLIPModel.
ALTCLIP = replace(CLIP, block="encoder.layer.{}")
SIGLIP2 = replace(CLIP, is_linear=True)
BLIP = replace(
    CLIP,
    positions="embeddings.position_embedding",
    qkv=("self_attn.qkv",),
    output="self_attn.projection",
    token=SAME,
    table=SAME,
)
AIMV2 = replace(
    CLIP,
    patches="embeddings.patch_embed",
    patch_norm="embeddings.rms_norm",
    norm="rms_norm",
    attention_norm="rms_norm1",
    mlp_norm="rms_norm2",
    qkv=_QKV,
    output="attention.out_proj",
    gated_expand=("ffn.gate_proj", "ffn.up_proj"),
    gated_contract="ffn.down_proj",
)
INTERNVL = replace(
    VIT,
    qkv=_QKV,
    output="attention.projection_layer",
    query_norm="attention.q_norm",
    key_norm="attention.k_norm",
    expand="mlp.fc1",
    contract="mlp.fc2",
    scales=("lambda_1", "lambda_2"),
)


@dataclass(frozen=True)
class Place:
    """Where in a file a tower is.

    Args:
        naming: of its parts.
        prefix: before its names.
        block_prefix: before those of its blocks. Default None: the same.
    """

    naming: Naming
    prefix: str = ""
    block_prefix: str | None = None

    def block(self, number: int) -> str:
        """Return the name of a block, with a dot at its end."""
        prefix = self.prefix if self.block_prefix is None else self.block_prefix
        return f"{prefix}{self.naming.block.format(number)}."


def find_place(namings: tuple[Naming, ...], names: Container[str]) -> Place | None:
    """Return where a tower is in a file; None if it is not there."""
    for naming in namings:
        for prefix in PREFIXES:
            if f"{prefix}{naming.patches}.weight" not in names:
                continue
            # ViTMSNForImageClassification and DINOv3 write blocks with another prefix.
            for block_prefix in (prefix, *PREFIXES):
                place = Place(naming, prefix, block_prefix)
                first = f"{place.block(0)}{naming.qkv[0]}.weight"
                if first in names:
                    return place
    return None


def huggingface_entries(config: ViTConfig, place: Place) -> list[Entry]:
    """Return where transformers keeps each weight.

    Args:
        config: of the model.
        place: of the tower.
    """
    return list(_entries(config, place))


def _entries(config: ViTConfig, place: Place) -> Iterator[Entry]:
    naming, prefix = place.naming, place.prefix
    yield from _patches(config, naming, f"{prefix}{naming.patches}")
    encoder = "patch_encoder"
    for ours, theirs, layout in (
        (f"{encoder}/class_token/token", naming.class_token, naming.token),
        (f"{encoder}/distillation_token/token", naming.distillation_token, SAME),
        (f"{encoder}/registers/tokens", naming.registers, SAME),
        (f"{encoder}/position_embedding/table", naming.positions, naming.table),
    ):
        if theirs:
            yield Entry(ours, (prefix + theirs,), layout)
    for ours, theirs in (
        (f"{encoder}/norm", naming.patch_norm),
        ("pre_norm", naming.pre_norm),
        ("norm", naming.norm),
    ):
        if theirs:
            yield from _norm(ours, prefix + theirs)
    for i in range(config.num_layers):
        yield from _block(config, i, place)
    if config.pooling == "query":
        yield from _query_pooling(config, f"{prefix}head")
    else:
        yield from _attention_pooling(config, f"{prefix}head")
    yield from _linear("head/representation", f"{prefix}pooler.dense")
    yield from _linear("head/logits", classifier_name(config))
    yield from _linear("head/distillation_logits", "distillation_classifier")


def classifier_name(config: ViTConfig) -> str:
    """Return what transformers calls the last layer."""
    if config.use_distillation_token:
        return "cls_classifier"
    return "classifier" if config.use_head_bias else "visual_projection"


def _patches(config: ViTConfig, naming: Naming, theirs: str) -> Iterator[Entry]:
    kernel = patch_kernel(config.patch_size, config.channels)
    if naming.is_linear:  # (D, P * P * C), channels fastest as ours
        kernel = LINEAR
    yield Entry("patch_encoder/projection/kernel", (f"{theirs}.weight",), kernel)
    yield Entry("patch_encoder/projection/bias", (f"{theirs}.bias",))


def _linear(ours: str, *theirs: str, widths: tuple[int, ...] = ()) -> Iterator[Entry]:
    """Yield one layer of ours, which may be several of theirs side by side."""
    kernels = tuple(f"{name}.weight" for name in theirs)
    biases = tuple(f"{name}.bias" for name in theirs)
    yield Entry(f"{ours}/kernel", kernels, LINEAR, widths=widths)
    yield Entry(f"{ours}/bias", biases, widths=widths)


def _norm(ours: str, theirs: str) -> Iterator[Entry]:
    yield Entry(f"{ours}/gamma", (f"{theirs}.weight",))
    yield Entry(f"{ours}/beta", (f"{theirs}.bias",))


def _block(config: ViTConfig, i: int, place: Place) -> Iterator[Entry]:
    naming, ours, theirs = place.naming, f"block_{i}", place.block(i)
    yield from _norm(f"{ours}/attention_norm", theirs + naming.attention_norm)
    yield from _attention(config, naming, f"{ours}/attention", theirs)
    yield from _norm(f"{ours}/mlp_norm", theirs + naming.mlp_norm)
    expand, contract = (naming.expand,), naming.contract
    if config.mlp == "gated":
        expand, contract = naming.gated_expand, naming.gated_contract
    parts = (theirs + part for part in expand)
    widths = (config.mlp_dim,) * len(expand)
    yield from _linear(f"{ours}/mlp/expand", *parts, widths=widths)
    yield from _linear(f"{ours}/mlp/contract", theirs + contract)
    for part, name in zip(("attention", "mlp"), naming.scales, strict=False):
        yield Entry(f"{ours}/{part}_scale/gamma", (theirs + name,))


def _attention(
    config: ViTConfig, naming: Naming, ours: str, theirs: str
) -> Iterator[Entry]:
    parts = [theirs + part for part in naming.qkv]
    widths = (config.hidden_dim,) * len(parts)
    yield from _linear(f"{ours}/qkv", *parts, widths=widths)
    for part, name in (("query", parts[0]), ("value", parts[-1])):
        yield Entry(f"{ours}/query_value_bias/{part}_bias", (f"{name}.bias",))
    if naming.query_norm:
        yield from _norm(f"{ours}/query_norm", theirs + naming.query_norm)
        yield from _norm(f"{ours}/key_norm", theirs + naming.key_norm)
    yield from _linear(f"{ours}/output_projection", theirs + naming.output)


def _attention_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    yield Entry("pooling/probe", (f"{theirs}.probe",))
    # One array holds the query, then key and value, along its first axis.
    dim = config.hidden_dim
    for ours, rows in (("query", slice(0, dim)), ("key_value", slice(dim, None))):
        kernel = Layout(lambda x, rows=rows: x[rows].T, LINEAR.store)
        bias = Layout(lambda x, rows=rows: x[rows], SAME.store)
        for kind, layout, name in (
            ("kernel", kernel, "in_proj_weight"),
            ("bias", bias, "in_proj_bias"),
        ):
            yield Entry(
                f"pooling/{ours}/{kind}",
                (f"{theirs}.attention.{name}",),
                layout,
                shared_axis=0,
            )
    yield from _linear("pooling/output_projection", f"{theirs}.attention.out_proj")
    yield from _norm("pooling/norm", f"{theirs}.layernorm")
    yield from _linear("pooling/mlp/expand", f"{theirs}.mlp.fc1")
    yield from _linear("pooling/mlp/contract", f"{theirs}.mlp.fc2")


def _query_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    yield Entry("pooling/query", (f"{theirs}.cls_token",))
    parts, widths = (f"{theirs}.k_proj", f"{theirs}.v_proj"), (config.hidden_dim,) * 2
    yield from _linear("pooling/key_value", *parts, widths=widths)
    yield from _linear("pooling/output_projection", f"{theirs}.output_proj")


def unused_arrays(config: ViTConfig, place: Place) -> dict[str, np.ndarray]:
    """Return arrays that transformers wants and that the model does not compute with.

    The mask token of pre-training, an empty array of registers, and the norm that
    CLIP's classifier skips; with the values that transformers begins with.
    """
    naming, prefix, dim = place.naming, place.prefix, config.hidden_dim
    arrays: dict[str, np.ndarray] = {}
    if naming == DINOV3 or (naming == DINOV2 and config.num_registers):
        shape = (1, 1, dim) if naming == DINOV3 else (1, dim)
        arrays[f"{prefix}embeddings.mask_token"] = np.zeros(shape, "float32")
    if naming == DINOV3 and not config.num_registers:
        arrays[prefix + naming.registers] = np.zeros((1, 0, dim), "float32")
    if config.final_norm is None and naming == CLIP:
        arrays[f"{prefix}{naming.norm}.weight"] = np.ones(dim, "float32")
        arrays[f"{prefix}{naming.norm}.bias"] = np.zeros(dim, "float32")
    return arrays
