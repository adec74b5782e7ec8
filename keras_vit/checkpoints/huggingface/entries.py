"""The arrays of the plain ViTs of transformers.

transformers 5 renamed the modules of some families, but writes the historical names;
both are read, the historical ones are written. Shapes: C channels, D hidden, N
positions, P patch, R tokens before the patches.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from keras_vit.checkpoints.entries import (
    LINEAR,
    SAME,
    Entry,
    Layout,
    flat_patch_kernel,
    patch_kernel,
)
from keras_vit.checkpoints.huggingface.names import Naming
from keras_vit.checkpoints.layer_entries import TORCH
from keras_vit.config import ViTConfig

# Before the names of the tower, by the model around it.
PREFIXES = (
    *("", "vit.", "deit.", "dinov2.", "dinov2_with_registers.", "ijepa.", "pixio."),
    *("vision_model.", "model.", "model.vision_model.", "clip.vision_model."),
    *("vision_tower.", "model.vision_tower.", "vision_encoder.", "radio_model."),
)

_FLAT_TOKEN = Layout(lambda x: x[None, None], lambda x: x[0, 0])  # (D,)
_FLAT_TABLE = Layout(lambda x: x[None], lambda x: x[0])  # (N, D)
_FIRST_ROW = Layout(lambda x: x[None, :1], lambda x: x[0])  # of (R, D)
_OTHER_ROWS = Layout(lambda x: x[None, 1:], lambda x: x[0])  # of (R, D)


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
                if _has_block(naming, place.block(0), names):
                    return place
    return None


def _has_block(naming: Naming, block: str, names: Container[str]) -> bool:
    """Tell whether a block has its parts by the names of this naming."""
    expands = [part for part in (naming.expand, *naming.gated_expand) if part]
    return f"{block}{naming.qkv[0]}.weight" in names and any(
        f"{block}{expand}.weight" in names for expand in expands
    )


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
    token = table = registers = SAME
    if naming.is_flat:
        token, table = _FLAT_TOKEN, _FLAT_TABLE
    if naming.shares_registers:
        token, registers = _FIRST_ROW, _OTHER_ROWS
    rows = 0 if naming.shares_registers else None
    for ours, theirs, layout, axis in (
        (f"{encoder}/class_token/token", naming.class_token, token, rows),
        (f"{encoder}/distillation_token/token", naming.distillation_token, SAME, None),
        (f"{encoder}/registers/tokens", naming.registers, registers, rows),
        (f"{encoder}/position_embedding/table", naming.positions, table, None),
        ("class_rotation/angles", naming.class_rotation, SAME, None),
    ):
        if theirs:
            yield Entry(ours, (prefix + theirs,), layout, shared_axis=axis)
    for ours, theirs in (
        (f"{encoder}/norm", naming.patch_norm),
        ("pre_norm", naming.pre_norm),
        ("norm", naming.norm),
    ):
        if theirs:
            yield from TORCH.norm(ours, prefix + theirs)
    for i in range(config.num_layers):
        yield from _block(config, i, place)
    if config.pooling == "query":
        yield from _query_pooling(config, f"{prefix}head")
    else:
        yield from _attention_pooling(config, f"{prefix}head")
    yield from TORCH.dense("head/representation", f"{prefix}pooler.dense")
    yield from TORCH.dense("head/logits", classifier_name(config))
    yield from TORCH.dense("head/distillation_logits", "distillation_classifier")


def classifier_name(config: ViTConfig) -> str:
    """Return what transformers calls the last layer."""
    if config.use_distillation_token:
        return "cls_classifier"
    return "classifier" if config.use_head_bias else "visual_projection"


def _patches(config: ViTConfig, naming: Naming, theirs: str) -> Iterator[Entry]:
    kernel = patch_kernel(config.patch_size, config.channels)
    if naming.flat_patches == "channels_last":  # (D, P * P * C), as ours
        kernel = LINEAR
    elif naming.flat_patches == "channels_first":
        kernel = flat_patch_kernel(config.patch_size, config.channels)
    yield from TORCH.dense("patch_encoder/projection", theirs, kernel=kernel)


def _block(config: ViTConfig, i: int, place: Place) -> Iterator[Entry]:
    naming, ours, theirs = place.naming, f"block_{i}", place.block(i)
    yield from TORCH.norm(f"{ours}/attention_norm", theirs + naming.attention_norm)
    yield from _attention(config, i, f"{ours}/attention", place)
    yield from TORCH.norm(f"{ours}/mlp_norm", theirs + naming.mlp_norm)
    expand, contract = (naming.expand,), naming.contract
    if config.mlp == "gated":
        expand, contract = naming.gated_expand, naming.gated_contract
    parts = (theirs + part for part in expand)
    widths = (config.mlp_dim,) * len(expand)
    yield from TORCH.dense(f"{ours}/mlp/expand", *parts, widths=widths)
    yield from TORCH.dense(f"{ours}/mlp/contract", theirs + contract)
    for part, name in zip(("attention", "mlp"), naming.scales, strict=False):
        yield Entry(f"{ours}/{part}_scale/gamma", (theirs + name,))


def _attention(config: ViTConfig, i: int, ours: str, place: Place) -> Iterator[Entry]:
    naming, theirs = place.naming, place.block(i)
    parts = [theirs + part for part in naming.qkv]
    width = config.head_dim * config.block_kv_heads(i)
    widths = (config.hidden_dim, width, width) if len(parts) > 1 else ()
    yield from TORCH.dense(f"{ours}/qkv", *parts, widths=widths)
    for part, name in (("query", parts[0]), ("value", parts[-1])):
        yield Entry(f"{ours}/query_value_bias/{part}_bias", (f"{name}.bias",))
    if naming.query_norm:
        yield from TORCH.norm(f"{ours}/query_norm", theirs + naming.query_norm)
        yield from TORCH.norm(f"{ours}/key_norm", theirs + naming.key_norm)
    yield from TORCH.dense(f"{ours}/output_projection", theirs + naming.output)


def _attention_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    yield Entry("pooling/probe", (f"{theirs}.probe",))
    # One array holds the query, then key and value, along its first axis.
    dim, both = config.hidden_dim, f"{theirs}.attention.in_proj"
    for ours, rows in (("query", slice(0, dim)), ("key_value", slice(dim, None))):
        kernel = Layout(lambda x, rows=rows: x[rows].T, LINEAR.store)
        bias = Layout(lambda x, rows=rows: x[rows], SAME.store)
        for kind, layout, name in (
            ("kernel", kernel, f"{both}_weight"),
            ("bias", bias, f"{both}_bias"),
        ):
            yield Entry(f"pooling/{ours}/{kind}", (name,), layout, shared_axis=0)
    yield from TORCH.dense("pooling/output_projection", f"{theirs}.attention.out_proj")
    yield from TORCH.norm("pooling/norm", f"{theirs}.layernorm")
    yield from TORCH.dense("pooling/mlp/expand", f"{theirs}.mlp.fc1")
    yield from TORCH.dense("pooling/mlp/contract", f"{theirs}.mlp.fc2")


def _query_pooling(config: ViTConfig, theirs: str) -> Iterator[Entry]:
    yield Entry("pooling/query", (f"{theirs}.cls_token",))
    parts, widths = (f"{theirs}.k_proj", f"{theirs}.v_proj"), (config.hidden_dim,) * 2
    yield from TORCH.dense("pooling/key_value", *parts, widths=widths)
    yield from TORCH.dense("pooling/output_projection", f"{theirs}.output_proj")
