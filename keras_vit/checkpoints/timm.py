"""The arrays of timm's `VisionTransformer`, `VisionTransformerDistilled` and `Eva`.

Names: B batch, D hidden, M mlp, C classes.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from keras_vit.checkpoints.entries import LINEAR, Entry, layer_slice, patch_kernel
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
    yield Entry("patch_encoder/projection/kernel", ("patch_embed.proj.weight",), kernel)
    yield Entry("patch_encoder/projection/bias", ("patch_embed.proj.bias",))
    yield from _norm("patch_encoder/norm", "patch_embed.norm")
    yield Entry("patch_encoder/class_token/token", ("cls_token",))
    yield Entry("patch_encoder/distillation_token/token", ("dist_token",))
    yield Entry("patch_encoder/registers/tokens", ("reg_token",))
    yield Entry("patch_encoder/position_embedding/table", ("pos_embed",))
    yield from _norm("pre_norm", "norm_pre")
    for i in range(config.num_layers):
        yield from _block(config, i, names)
    if config.rotary == "mixed":
        yield from _mixed_frequencies(config)
    norm = "fc_norm" if config.final_norm == "after_pooling" else "norm"
    yield from _norm("norm", norm)
    yield from _attention_pooling(config)
    yield from _linear("head/logits", "head")
    yield from _linear("head/distillation_logits", "head_dist")


def _linear(ours: str, theirs: str) -> Iterator[Entry]:
    yield Entry(f"{ours}/kernel", (f"{theirs}.weight",), LINEAR)
    yield Entry(f"{ours}/bias", (f"{theirs}.bias",))


def _norm(ours: str, theirs: str) -> Iterator[Entry]:
    yield Entry(f"{ours}/gamma", (f"{theirs}.weight",))
    yield Entry(f"{ours}/beta", (f"{theirs}.bias",))


def _block(config: ViTConfig, i: int, names: Container[str]) -> Iterator[Entry]:
    ours, theirs = f"block_{i}", f"blocks.{i}"
    if config.block in ("parallel", "parallel_joint"):
        yield from _parallel_block(ours, theirs)
        return
    if config.block == "twin":
        for j in (0, 1):
            for kind, group, layer in (
                ("attention", "attns", "attn"),
                ("mlp", "ffns", "mlp"),
            ):
                mine, their = f"{ours}/{kind}_{j}", f"{theirs}.{group}.{j}"
                yield from _norm(f"{mine}/norm", f"{their}.norm")
                yield Entry(f"{mine}/scale/gamma", (f"{their}.ls.gamma",))
                inner = f"{mine}/layer", f"{their}.{layer}"
                if kind == "attention":
                    yield from _attention(config, i, *inner, names)
                else:
                    yield from _mlp(config, *inner, names)
        return
    yield from _norm(f"{ours}/attention_norm", f"{theirs}.norm1")
    yield from _attention(config, i, f"{ours}/attention", f"{theirs}.attn", names)
    yield from _norm(f"{ours}/mlp_norm", f"{theirs}.norm2")
    yield from _mlp(config, f"{ours}/mlp", f"{theirs}.mlp", names)
    eva = f"{theirs}.gamma_1" in names
    for part, number in (("attention", 1), ("mlp", 2)):
        name = f"{theirs}.gamma_{number}" if eva else f"{theirs}.ls{number}.gamma"
        yield Entry(f"{ours}/{part}_scale/gamma", (name,))


def _branch(ours: str, theirs: str) -> Iterator[Entry]:
    yield from _norm(f"{ours}/norm", f"{theirs}.norm")
    yield Entry(f"{ours}/scale/gamma", (f"{theirs}.ls.gamma",))


def _attention(
    config: ViTConfig, i: int, ours: str, theirs: str, names: Container[str]
) -> Iterator[Entry]:
    if f"{theirs}.q_proj.weight" in names:
        kv = config.head_dim * config.block_kv_heads(i)
        widths = (config.hidden_dim, kv, kv)
        parts = [f"{theirs}.{part}_proj" for part in "qkv"]
        weights = tuple(f"{part}.weight" for part in parts)
        biases = tuple(f"{part}.bias" for part in parts)
        yield Entry(f"{ours}/qkv/kernel", weights, LINEAR, widths=widths)
        yield Entry(f"{ours}/qkv/bias", biases, widths=widths)
        query, value = biases[0], biases[2]
    else:
        yield from _linear(f"{ours}/qkv", f"{theirs}.qkv")
        query, value = f"{theirs}.q_bias", f"{theirs}.v_bias"
    yield Entry(f"{ours}/query_value_bias/query_bias", (query,))
    yield Entry(f"{ours}/query_value_bias/value_bias", (value,))
    yield from _norm(f"{ours}/query_norm", f"{theirs}.q_norm")
    yield from _norm(f"{ours}/key_norm", f"{theirs}.k_norm")
    yield from _norm(f"{ours}/context_norm", f"{theirs}.norm")
    yield from _differential(ours, theirs)
    yield from _linear(f"{ours}/output_projection", f"{theirs}.proj")


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
        parts = (f"{theirs}.fc1_g", f"{theirs}.fc1_x")
        weights = tuple(f"{part}.weight" for part in parts)
        biases = tuple(f"{part}.bias" for part in parts)
        yield Entry(f"{ours}/expand/kernel", weights, LINEAR, widths=widths)
        yield Entry(f"{ours}/expand/bias", biases, widths=widths)
    else:
        yield from _linear(f"{ours}/expand", f"{theirs}.fc1")
    yield from _norm(f"{ours}/norm", f"{theirs}.norm")
    yield from _linear(f"{ours}/contract", f"{theirs}.fc2")


def _parallel_block(ours: str, theirs: str) -> Iterator[Entry]:
    yield from _norm(f"{ours}/norm", f"{theirs}.in_norm")
    yield from _linear(f"{ours}/expand", f"{theirs}.in_proj")
    yield Entry(f"{ours}/mlp_bias/bias", (f"{theirs}.mlp_bias",))
    yield from _norm(f"{ours}/query_norm", f"{theirs}.q_norm")
    yield from _norm(f"{ours}/key_norm", f"{theirs}.k_norm")
    yield from _differential(ours, theirs)
    yield from _linear(f"{ours}/contract", f"{theirs}.out_proj")
    yield from _linear(f"{ours}/attention_output", f"{theirs}.attn_out_proj")
    yield from _linear(f"{ours}/mlp_output", f"{theirs}.mlp_out_proj")
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
    yield from _linear("pooling/query", "attn_pool.q")
    yield from _linear("pooling/key_value", "attn_pool.kv")
    yield from _linear("pooling/output_projection", "attn_pool.proj")
    yield from _norm("pooling/norm", "attn_pool.norm")
    yield from _linear("pooling/mlp/expand", "attn_pool.mlp.fc1")
    yield from _linear("pooling/mlp/contract", "attn_pool.mlp.fc2")
