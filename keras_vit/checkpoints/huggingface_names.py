"""What the families in transformers call their arrays.

transformers 5 renamed the modules of some families, but writes the historical names;
both are read, the historical ones are written. Shapes: C channels, D hidden, N
positions, P patch, R tokens before the patches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from keras_vit.checkpoints.entries import SAME, Layout


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
        register_rows: layout of the registers, if the class token is before them in
            the same array. Default None: they have an array of their own.
        class_rotation: the angles of the class token.
        flat_patches: "channels_last" or "channels_first" if the patches are projected
            from flat pixels. Default None: by a convolution.
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
    register_rows: Layout | None = None
    class_rotation: str = ""
    flat_patches: Literal["channels_last", "channels_first"] | None = None


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
SIGLIP2 = replace(CLIP, flat_patches="channels_last")
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


MLCD = replace(CLIP, positions="", class_rotation="class_pos_emb")
# What the repositories hold and transformers writes back, then its own names.
TIPSV2 = Naming(
    patches="patch_embed.proj",
    class_token="cls_token",
    registers="register_tokens",
    positions="pos_embed",
    block="blocks.{}",
    attention_norm="norm1",
    mlp_norm="norm2",
    qkv=("attn.qkv",),
    output="attn.proj",
    gated_expand=("mlp.w12",),
    gated_contract="mlp.w3",
    scales=("ls1.gamma", "ls2.gamma"),
    norm="norm",
)
TIPSV2_SAVED = replace(TIPSV2, expand="mlp.c_fc", contract="mlp.c_proj")
SAPIENS2 = Naming(
    patches="patch_embed.projection",
    class_token="cls_token",
    registers="storage_tokens",
    block="blocks.{}",
    attention_norm="ln1",
    mlp_norm="ln2",
    qkv=("attn.wq", "attn.wk", "attn.wv"),
    query_norm="attn.q_norm",
    key_norm="attn.k_norm",
    output="attn.proj",
    expand="ffn.w12",
    contract="ffn.w3",
    gated_expand=("ffn.w12",),
    gated_contract="ffn.w3",
    scales=("attn.gamma.weight",),
    norm="ln1",
)
SAPIENS2_RENAMED = replace(
    DINOV3,
    block="model.layer.{}",
    query_norm="attention.q_norm",
    key_norm="attention.k_norm",
    scales=("layer_scale1.lambda1",),
)
# One array holds the class tokens of all teachers and the registers, (R, D).
RADIO_RENAMED = replace(
    DINOV2_RENAMED,
    patches="embeddings.patch_projection",
    flat_patches="channels_first",
    positions="embeddings.position_embedding",
    class_token="embeddings.cls_register_token",
    registers="embeddings.cls_register_token",
    token=Layout(lambda x: x[None, :1], lambda x: x[0]),
    register_rows=Layout(lambda x: x[None, 1:], lambda x: x[0]),
    norm="",
)
RADIO = replace(
    RADIO_RENAMED,
    patches="model.patch_generator.embedder",
    positions="model.patch_generator.pos_embed",
    class_token="model.patch_generator.cls_token.token",
    registers="model.patch_generator.cls_token.token",
    block="model.blocks.{}",
    qkv=("attn.qkv",),
    output="attn.proj",
)
