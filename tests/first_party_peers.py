"""Files as the authors of families publish them, made of small models of timm.

Each function writes the arrays of a timm model under the names of the authors: the
inverse, by hand, of what keras_vit reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from keras_vit.checkpoints.timm.config import timm_table
from tests.peers import shrink, timm_model

State = dict[str, Any]


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    """Return the arrays with each pattern replaced in the order of the pairs."""
    names = {}
    for name, value in state.items():
        for pattern, new in pairs:
            name = re.sub(pattern, new, name)
        names[name] = value
    return names


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def noise(*shape: int) -> Any:
    import torch

    return torch.randn(*shape)


def deit(state: State) -> State:
    return {"model": state, "epoch": 3}


def deit3(state: State) -> State:
    return {"model": renamed(state, (r"\.ls([12])\.gamma", r".gamma_\1"))}


def dino(state: State) -> State:
    heads = {"head.mlp.0.weight": noise(3, 3)}
    teacher = prefixed(state, "module.backbone.") | prefixed(heads, "module.")
    return {"student": {"cls_token": noise(1)}, "teacher": teacher}


def mae(state: State) -> State:
    extra = {"mask_token": noise(1, 1, 8), "decoder_blocks.0.norm1.weight": noise(8)}
    return {"model": {**state, **extra}}


def msn(state: State) -> State:
    target = prefixed(state, "module.") | {"module.fc.fc1.weight": noise(3, 3)}
    return {"encoder": {"module.cls_token": noise(1)}, "target_encoder": target}


def ijepa(state: State) -> State:
    other = {"module.pos_embed": noise(1)}
    encoder = prefixed(state, "module.")
    return {"encoder": encoder, "predictor": other, "target_encoder": other}


def dinov2(state: State) -> State:
    import torch

    state = {**state, "mask_token": noise(1, 96)}
    if "reg_token" in state:
        row = noise(1, 1, 96)
        state["register_tokens"] = state.pop("reg_token")
        state["cls_token"] = state["cls_token"] - row
        state["pos_embed"] = torch.cat([row, state["pos_embed"]], dim=1)
    if "blocks.0.attn.qkv.weight" in state and is_packed(state):
        state = renamed(state, (r"mlp\.fc1", "mlp.w12"), (r"mlp\.fc2", "mlp.w3"))
    return state


def is_packed(state: State) -> bool:
    """Whether one layer makes the gate and the values of a gated MLP."""
    expand, contract = (state[f"blocks.0.mlp.fc{i}.weight"] for i in (1, 2))
    return expand.shape[0] == 2 * contract.shape[1]


def chunked(state: State) -> State:
    """DINOv2 as it is trained: a teacher with its blocks in chunks."""
    state = renamed(dinov2(state), (r"^blocks\.(\d+)", r"blocks.0.\1"))
    heads = {"dino_head.mlp.0.weight": noise(3, 3)}
    return {"teacher": prefixed(state, "backbone.") | heads}


def tipsv2(state: State) -> State:
    text = {"text_encoder.token_embedding.weight": noise(9, 3)}
    return prefixed(dinov2(state), "vision_encoder.") | text


def dinov3(state: State) -> State:
    import torch

    pairs = ((r"reg_token", "storage_tokens"), (r"gamma_([12])", r"ls\1.gamma"))
    pairs += ((r"fc1_g", "w1"), (r"fc1_x", "w2"))
    if "blocks.0.mlp.fc1_g.weight" in state:
        pairs += ((r"mlp\.fc2", "mlp.w3"),)
    state = renamed(state, *pairs)
    for i in range(3):
        name = f"blocks.{i}.attn"
        query = state.pop(f"{name}.q_bias", torch.zeros(96))
        value = state.pop(f"{name}.v_bias", torch.zeros(96))
        state[f"{name}.qkv.bias"] = torch.cat([query, noise(96), value])
        state[f"{name}.qkv.bias_mask"] = noise(288)
    extra = ("mask_token", "rope_embed.periods", "local_cls_norm.weight")
    return state | {name: noise(3) for name in extra}


CLIP_NAMES = (
    (r"^patch_embed\.proj", "conv1"),
    (r"^pos_embed", "positional_embedding"),
    (r"^cls_token", "class_embedding"),
    (r"^norm_pre", "ln_pre"),
    (r"^norm\.", "ln_post."),
    (r"^blocks", "transformer.resblocks"),
    (r"\.norm([12])\.", r".ln_\1."),
    (r"\.gamma_([12])", r".ls_\1.gamma"),
    (r"attn\.qkv\.", "attn.in_proj_"),
    (r"\.attn\.proj", ".attn.out_proj"),
    (r"\.mlp\.fc1", ".mlp.c_fc"),
    (r"\.mlp\.fc2", ".mlp.c_proj"),
    (r"^attn_pool\.latent", "attn_pool.probe"),
    (r"^attn_pool\.norm", "attn_pool.layernorm"),
    (r"^attn_pool\.proj", "attn_pool.attn.out_proj"),
)


def bare_clip(state: State) -> State:
    import torch

    state = renamed(state, *CLIP_NAMES)
    if "class_embedding" in state:
        state["class_embedding"] = state["class_embedding"][0, 0]
    state["positional_embedding"] = state["positional_embedding"][0]
    if "head.weight" in state:
        state["proj"] = state.pop("head.weight").T
        state.pop("head.bias", None)
    for kind in ("weight", "bias"):
        if f"attn_pool.q.{kind}" in state:
            parts = [state.pop(f"attn_pool.{part}.{kind}") for part in ("q", "kv")]
            state[f"attn_pool.attn.in_proj_{kind}"] = torch.cat(parts)
    return state


def clip(state: State) -> State:
    text = {"text_projection": noise(3), "transformer.resblocks.0.ln_1.bias": noise(3)}
    return prefixed(bare_clip(state), "visual.") | text


def distributed_clip(state: State) -> State:
    return {"state_dict": prefixed(clip(state), "module.")}


def open_clip(state: State) -> State:
    head = {"visual.head.proj.weight": state.pop("head.weight")}
    state.pop("head.bias")
    return prefixed(state, "visual.trunk.") | head | {"text.cls": noise(3)}


def bare_pe(state: State) -> State:
    return bare_clip(state) | {"rope.freqs": noise(3)}


def aimv2(state: State) -> State:
    return renamed(
        state,
        (r"^patch_embed", "preprocessor.patchifier"),
        (r"^pos_embed", "preprocessor.pos_embed"),
        (r"^norm\.", "trunk.post_trunk_norm."),
        (r"^blocks", "trunk.blocks"),
        (r"\.norm([12])\.", r".norm_\1."),
        (r"fc1_g", "fc1"),
        (r"fc1_x", "fc3"),
    )


def eva(state: State) -> State:
    state = renamed(
        state,
        (r"attn\.norm", "attn.inner_attn_ln"),
        (r"mlp\.norm", "mlp.ffn_ln"),
        (r"q_proj\.bias", "q_bias"),
        (r"v_proj\.bias", "v_bias"),
    )
    if "blocks.0.mlp.fc1_g.weight" in state:
        state = renamed(
            state, (r"fc1_g", "w1"), (r"fc1_x", "w2"), (r"mlp\.fc2", "mlp.w3")
        )
    return {"model_ema": {**state, "rope.freqs_cos": noise(3)}}


def eva_pre_training(state: State) -> State:
    state = renamed(eva(state)["model_ema"], (r"^fc_norm", "norm"))
    extra = {"mask_token": noise(1), "lm_head.weight": noise(3, 3)}
    return {"module": {**state, **extra}}


def eva_clip(state: State) -> State:
    state = eva(state)["model_ema"]
    return prefixed(state, "visual.") | {"text.positional_embedding": noise(3, 3)}


def beit3(state: State) -> State:
    import torch

    for i in range(3):
        for kind in ("weight", "bias"):
            parts = torch.chunk(state.pop(f"blocks.{i}.attn.qkv.{kind}"), 3)
            for part, value in zip("qkv", parts, strict=True):
                state[f"blocks.{i}.attn.{part}_proj.{kind}"] = value
    state["pos_embed"] = torch.cat([noise(2, 96), state["pos_embed"][0]])
    tower = {k: v for k, v in state.items() if not k.startswith(("head", "fc_norm"))}
    rest = {k: v for k, v in state.items() if k not in tower}
    block = r"^blocks\.(\d+)\."
    tower = renamed(
        tower,
        (r"^cls_token", "beit3.vision_embed.cls_token"),
        (r"^patch_embed", "beit3.vision_embed"),
        (r"^pos_embed", "beit3.encoder.embed_positions.A.weight"),
        (block + r"norm1\.", r"beit3.encoder.layers.\1.self_attn_layer_norm.A."),
        (block + r"norm2\.", r"beit3.encoder.layers.\1.final_layer_norm.A."),
        (
            block + r"attn\.norm\.",
            r"beit3.encoder.layers.\1.self_attn.inner_attn_ln.A.",
        ),
        (block + r"attn\.proj\.", r"beit3.encoder.layers.\1.self_attn.out_proj.A."),
        (block + r"attn\.([qkv]_proj)\.", r"beit3.encoder.layers.\1.self_attn.\2.A."),
        (block + r"mlp\.norm\.", r"beit3.encoder.layers.\1.ffn.A.ffn_layernorm."),
        (block + r"mlp\.(fc[12])\.", r"beit3.encoder.layers.\1.ffn.A.\2."),
    )
    extra = {
        "beit3.text_embed.weight": noise(3, 3),
        "beit3.vision_embed.mask_token": noise(3),
        "beit3.encoder.layers.0.ffn.B.fc1.weight": noise(3, 3),
    }
    return {"model": tower | rest | extra}


def radio(state: State) -> State:
    import torch

    state.pop("patch_embed.proj.bias")
    state["patch_generator.pos_embed"] = noise(1, 64, 96)
    kernel = state.pop("patch_embed.proj.weight")
    state["patch_generator.embedder.weight"] = kernel.flatten(1)
    tokens = [state.pop(name)[0] for name in ("cls_token", "reg_token")]
    state["patch_generator.cls_token.token"] = torch.cat(tokens)
    state.pop("pos_embed")
    tower = renamed(state, (r"\.gamma$", ".grandma"))
    conditioner = {"radio_model.input_conditioner.norm_mean": noise(3, 1, 1)}
    return prefixed(tower, "radio_model.model.") | conditioner


def sapiens2(state: State) -> State:
    return renamed(
        {**state, "mask_token": noise(1, 1, 96)},
        (r"^reg_token", "storage_tokens"),
        (r"^patch_embed\.proj", "patch_embed.projection"),
        (r"attn\.([qkv])_proj", r"attn.w\1"),
        (r"\.gamma_1", ".attn.gamma.weight"),
        (r"mlp\.fc1", "ffn.w12"),
        (r"mlp\.fc2", "ffn.w3"),
        (r"\.norm([12])\.", r".ln\1."),
        (r"^norm\.", "ln1."),
    )


@dataclass(frozen=True)
class Case:
    """A file of a family.

    Args:
        architecture: that timm calls it.
        family: name of the row that reads it.
        write: from timm's arrays to the authors'.
        num_classes: 0 if the file has no classifier.
        is_read_by_timm: whether timm's own filter understands the file.
        has_head_bias: False if the classifier is a projection.
        options: further ones of the timm model.
    """

    architecture: str
    family: str
    write: Callable[[State], State]
    num_classes: int = 0
    is_read_by_timm: bool = True
    has_head_bias: bool = True
    options: tuple[tuple[str, Any], ...] = ()


_PLAIN = "DeiT, MAE, DINO, MSN, I-JEPA, timm"
_DINOV2, _DINOV3 = "DINOv2, TIPSv2", "DINOv3, EUPE"
_CLIP, _EVA = "CLIP, PE", "EVA, EVA-02, EVA-CLIP"
CASES = {
    "DeiT": Case("deit_small_patch16_224", _PLAIN, deit, 7),
    "DeiT distilled": Case("deit_small_distilled_patch16_224", _PLAIN, deit, 7),
    "DeiT-III": Case("deit3_small_patch16_224", _PLAIN, deit3, 7),
    "MAE": Case("vit_base_patch16_224", _PLAIN, mae, is_read_by_timm=False),
    "MAE fine-tuned": Case(
        "vit_base_patch16_224", _PLAIN, deit, 7, options=(("global_pool", "avg"),)
    ),
    "DINO": Case("vit_small_patch16_224", _PLAIN, dino, is_read_by_timm=False),
    "MSN": Case("vit_small_patch16_224", _PLAIN, msn, is_read_by_timm=False),
    "I-JEPA": Case("vit_huge_patch14_gap_224", _PLAIN, ijepa),
    "DINOv2": Case("vit_small_patch14_dinov2", _DINOV2, dinov2),
    "DINOv2 gated": Case("vit_giant_patch14_dinov2", _DINOV2, dinov2),
    "DINOv2 registers": Case("vit_small_patch14_reg4_dinov2", _DINOV2, dinov2),
    "DINOv2 teacher": Case(
        "vit_giant_patch14_reg4_dinov2", _DINOV2, chunked, is_read_by_timm=False
    ),
    "TIPSv2": Case("vit_base_patch14_reg1_tipsv2", _DINOV2, tipsv2),
    "DINOv3": Case("vit_small_patch16_dinov3", _DINOV3, dinov3),
    "DINOv3 gated": Case("vit_small_plus_patch16_dinov3_qkvb", _DINOV3, dinov3),
    "CLIP": Case(
        "vit_base_patch32_clip_quickgelu_224", _CLIP, clip, 7, has_head_bias=False
    ),
    "CLIP distributed": Case(
        "vit_base_patch32_clip_224", _CLIP, distributed_clip, 7, has_head_bias=False
    ),
    "OpenCLIP": Case(
        "vit_small_patch16_224",
        "OpenCLIP with a tower of timm",
        open_clip,
        7,
        has_head_bias=False,
    ),
    "PE core": Case(
        "vit_pe_core_base_patch16_224", _CLIP, clip, 7, has_head_bias=False
    ),
    "PE spatial": Case(
        "vit_pe_spatial_tiny_patch16_512", _CLIP, bare_pe, is_read_by_timm=False
    ),
    "AIMv2": Case("aimv2_large_patch14_224", "AIMv2", aimv2),
    "EVA": Case("eva_giant_patch14_224", _EVA, eva, 7),
    "EVA-02": Case("eva02_base_patch14_224", _EVA, eva, 7),
    "EVA-02 pre-training": Case("eva02_base_patch14_224", _EVA, eva_pre_training),
    "EVA-02-CLIP": Case("eva02_enormous_patch14_clip_224", _EVA, eva_clip, 7),
    "BEiT-3": Case("beit3_base_patch16_224", "BEiT-3", beit3, 7),
    "C-RADIO v3": Case("vit_base_patch16_radio_v3", "C-RADIO", radio),
    "C-RADIO v4": Case("vit_so400m_patch16_radio_v4", "C-RADIO", radio),
    "Sapiens2": Case("vit_base_patch16_sapiens2", "Sapiens2", sapiens2),
}


@contextmanager
def small(name: str) -> Iterator[dict[str, Any]]:
    """Let an architecture be small in our table; yield timm's arguments for it."""
    row = timm_table()[name]
    args = shrink(row)
    given = {k: v for k, v in args.items() if k not in ("num_classes", "img_size")}
    tag = {**row["pretrained"][0], "input_size": [3, *args["img_size"]]}
    with patch.dict(row, {"args": {**row["args"], **given}, "pretrained": [tag]}):
        yield args


def write(case: Case, args: dict[str, Any], file: Path) -> Any:
    """Write a file as the authors do; return timm's model, if it can, read from it."""
    import torch

    options = {**args, "num_classes": case.num_classes, **dict(case.options)}
    model = timm_model(case.architecture, **options)
    if case.num_classes and not case.has_head_bias:
        model.head.bias.data.zero_()
    with torch.device("cpu"):
        state = case.write({k: v.clone() for k, v in model.state_dict().items()})
    torch.save(state, file)
    if case.is_read_by_timm:
        model.load_state_dict(filtered(case, model, state), strict=True)
    return model


def filtered(case: Case, model: Any, state: State) -> State:
    """Return what timm's own filter makes of a file."""
    from timm.models import eva, vision_transformer

    if type(model).__name__ == "Eva":
        return eva.checkpoint_filter_fn(state, model)
    options: dict[str, Any] = {"adapt_layer_scale": "deit3" in case.architecture}
    if "radio" in case.architecture:
        options |= {"interpolation": "bilinear", "antialias": False}
        options["align_corners"] = case.architecture == "vit_base_patch16_radio_v3"
    return vision_transformer.checkpoint_filter_fn(state, model, **options)
