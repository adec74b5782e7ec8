"""The arrays of timm's `VisionTransformer`, `VisionTransformerDistilled` and `Eva`.

Names: B batch, D hidden, M mlp, C classes.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from keras_vit.checkpoints.entries import Entry, layer_slice, patch_kernel
from keras_vit.checkpoints.layer_entries import TORCH
from keras_vit.config import ViTConfig


def timm_entries(config: ViTConfig, names: Container[str]) -> list[Entry]:
    """Return where timm keeps each weight.

    Args:
        config: of the model.
        names: of the arrays; decides between timm's two namings of some parts. For
            writing: the result of `timm_naming`.
    """
    return list(_entries(config, names))


def _entries(config: ViTConfig, names: Container[str]) -> Iterator[Entry]:
    kernel = patch_kernel(config.patch_size, config.channels)
    projection = "patch_encoder/projection", "patch_embed.proj"
    yield from TORCH.dense(*projection, kernel=kernel)
    yield from TORCH.norm("patch_encoder/norm", "patch_embed.norm")
    yield Entry("patch_encoder/class_token/token", ("cls_token",))
    yield Entry("patch_encoder/distillation_token/token", ("dist_token",))
    yield Entry("patch_encoder/registers/tokens", ("reg_token",))
    yield Entry("patch_encoder/position_embedding/table", ("pos_embed",))
    yield from TORCH.norm("pre_norm", "norm_pre")
    for i in range(config.num_layers):
        yield from _block(config, i, names)
    if config.rotary == "mixed":
        yield from _mixed_frequencies(config)
    norm = "fc_norm" if config.final_norm == "after_pooling" else "norm"
    yield from TORCH.norm("norm", norm)
    yield from _attention_pooling(config)
    yield from TORCH.dense("head/logits", "head")
    yield from TORCH.dense("head/distillation_logits", "head_dist")


def _block(config: ViTConfig, i: int, names: Container[str]) -> Iterator[Entry]:
    ours, theirs = f"block_{i}", f"blocks.{i}"
    if config.block in ("parallel", "parallel_joint"):
        yield from _parallel_block(ours, theirs)
        return
    if config.block == "twin":
        yield from _twin_block(config, i, names)
        return
    yield from TORCH.norm(f"{ours}/attention_norm", f"{theirs}.norm1")
    yield from _attention(config, i, f"{ours}/attention", f"{theirs}.attn", names)
    yield from TORCH.norm(f"{ours}/mlp_norm", f"{theirs}.norm2")
    yield from _mlp(config, f"{ours}/mlp", f"{theirs}.mlp", names)
    eva = f"{theirs}.gamma_1" in names
    for part, number in (("attention", 1), ("mlp", 2)):
        name = f"{theirs}.gamma_{number}" if eva else f"{theirs}.ls{number}.gamma"
        yield Entry(f"{ours}/{part}_scale/gamma", (name,))


def _attention(
    config: ViTConfig, i: int, ours: str, theirs: str, names: Container[str]
) -> Iterator[Entry]:
    if f"{theirs}.q_proj.weight" in names:
        kv = config.head_dim * config.block_kv_heads(i)
        widths = (config.hidden_dim, kv, kv)
        parts = [f"{theirs}.{part}_proj" for part in "qkv"]
        yield from TORCH.dense(f"{ours}/qkv", *parts, widths=widths)
        query, value = f"{parts[0]}.bias", f"{parts[2]}.bias"
    else:
        yield from TORCH.dense(f"{ours}/qkv", f"{theirs}.qkv")
        query, value = f"{theirs}.q_bias", f"{theirs}.v_bias"
    yield Entry(f"{ours}/query_value_bias/query_bias", (query,))
    yield Entry(f"{ours}/query_value_bias/value_bias", (value,))
    yield from TORCH.norm(f"{ours}/query_norm", f"{theirs}.q_norm")
    yield from TORCH.norm(f"{ours}/key_norm", f"{theirs}.k_norm")
    yield from TORCH.norm(f"{ours}/context_norm", f"{theirs}.norm")
    yield from _differential(ours, theirs)
    yield from TORCH.dense(f"{ours}/output_projection", f"{theirs}.proj")


def _differential(ours: str, theirs: str) -> Iterator[Entry]:
    for part in ("query_1", "key_1", "query_2", "key_2"):
        name = f"{theirs}.lambda_{part[0]}{part[-1]}"
        yield Entry(f"{ours}/product/lambda_{part}", (name,))
    yield Entry(f"{ours}/product/norm/gamma", (f"{theirs}.sub_norm.weight",))


def _mlp(
    config: ViTConfig, ours: str, theirs: str, names: Container[str]
) -> Iterator[Entry]:
    if f"{theirs}.fc1_g.weight" in names:
        widths = (config.mlp_dim, config.mlp_dim)
        gate, values = f"{theirs}.fc1_g", f"{theirs}.fc1_x"
        yield from TORCH.dense(f"{ours}/expand", gate, values, widths=widths)
    else:
        yield from TORCH.dense(f"{ours}/expand", f"{theirs}.fc1")
    yield from TORCH.norm(f"{ours}/norm", f"{theirs}.norm")
    yield from TORCH.dense(f"{ours}/contract", f"{theirs}.fc2")


def _twin_block(config: ViTConfig, i: int, names: Container[str]) -> Iterator[Entry]:
    for j in (0, 1):
        ours, theirs = f"block_{i}/attention_{j}", f"blocks.{i}.attns.{j}"
        yield from _branch(ours, theirs)
        yield from _attention(config, i, f"{ours}/layer", f"{theirs}.attn", names)
        ours, theirs = f"block_{i}/mlp_{j}", f"blocks.{i}.ffns.{j}"
        yield from _branch(ours, theirs)
        yield from _mlp(config, f"{ours}/layer", f"{theirs}.mlp", names)


def _branch(ours: str, theirs: str) -> Iterator[Entry]:
    yield from TORCH.norm(f"{ours}/norm", f"{theirs}.norm")
    yield Entry(f"{ours}/scale/gamma", (f"{theirs}.ls.gamma",))


def _parallel_block(ours: str, theirs: str) -> Iterator[Entry]:
    yield from TORCH.norm(f"{ours}/norm", f"{theirs}.in_norm")
    yield from TORCH.dense(f"{ours}/expand", f"{theirs}.in_proj")
    yield Entry(f"{ours}/mlp_bias/bias", (f"{theirs}.mlp_bias",))
    yield from TORCH.norm(f"{ours}/query_norm", f"{theirs}.q_norm")
    yield from TORCH.norm(f"{ours}/key_norm", f"{theirs}.k_norm")
    yield from _differential(ours, theirs)
    yield from TORCH.dense(f"{ours}/contract", f"{theirs}.out_proj")
    yield from TORCH.dense(f"{ours}/attention_output", f"{theirs}.attn_out_proj")
    yield from TORCH.dense(f"{ours}/mlp_output", f"{theirs}.mlp_out_proj")
    yield Entry(f"{ours}/scale/gamma", (f"{theirs}.ls.gamma",))


def _mixed_frequencies(config: ViTConfig) -> Iterator[Entry]:
    # One array (2, L, h, d / 2) for all blocks.
    for i in range(config.num_layers):
        yield Entry(
            f"rotary_positions_{i}/frequencies",
            ("rope.freqs",),
            layer_slice(i, axis=1),
            shared_axis=1,
        )


def _attention_pooling(config: ViTConfig) -> Iterator[Entry]:
    yield Entry("pooling/probe", ("attn_pool.latent",))
    yield from TORCH.dense("pooling/query", "attn_pool.q")
    yield from TORCH.dense("pooling/key_value", "attn_pool.kv")
    yield from TORCH.dense("pooling/output_projection", "attn_pool.proj")
    yield from TORCH.norm("pooling/norm", "attn_pool.norm")
    yield from TORCH.dense("pooling/mlp/expand", "attn_pool.mlp.fc1")
    yield from TORCH.dense("pooling/mlp/contract", "attn_pool.mlp.fc2")
