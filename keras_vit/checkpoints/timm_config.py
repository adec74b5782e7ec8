"""From the arguments of a timm model to a `ViTConfig`, and back to a timm name.

Covers timm's `VisionTransformer`, `VisionTransformerDistilled` and `Eva`. The table of
architectures is `timm_models.json`, made by `benchmarks/make_timm_table.py`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any

from keras_vit.config import ViTConfig

# The defaults of the constructors that differ between the classes, timm 1.0.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "VisionTransformer": {"global_pool": "token"},
    "VisionTransformerDistilled": {"global_pool": "token"},
    "Eva": {"global_pool": "avg"},
}
# Arguments that change training or are of no meaning to us.
_WITHOUT_EFFECT = {
    *("drop_rate", "patch_drop_rate", "weight_init", "fix_init", "head_init_scale"),
    *("dynamic_img_size", "dynamic_img_pad", "strict_img_size", "qkv_fused"),
    *("rope_shift_coords", "rope_jitter_coords", "rope_rescale_coords"),
    *("scale_attn_inner_", "pretrained", "features_only", "cache_dir"),
}
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
}


@cache
def timm_table() -> dict[str, dict[str, Any]]:
    """Return class, family, arguments and pretrained tags of each architecture."""
    file = resources.files("keras_vit.checkpoints") / "timm_models.json"
    return json.loads(file.read_text(encoding="utf-8"))


def config_from_timm(architecture: str, **model_args: Any) -> ViTConfig:
    """Return the config of a timm architecture with some of its arguments changed.

    Args:
        architecture: such as "vit_base_patch16_224", without tag.
        **model_args: arguments of timm's constructor, such as `img_size`.

    Raises:
        ValueError: if there is no such architecture, or an argument that changes the
            model is not understood.
    """
    table = timm_table()
    if architecture not in table:
        raise ValueError(unknown_architecture(architecture))
    row = table[architecture]
    args = {**_DEFAULTS[row["cls"]], **row["args"]}
    args.update({k: v for k, v in model_args.items() if v is not None})
    return _config(row["cls"], args)


# Families of timm that look like a ViT by their name, by what they are instead.
_NOT_PLAIN = {
    "stages of several resolutions or attention of another kind": (
        *("swin", "pvt", "mvit", "hiera", "cait", "xcit", "volo", "maxvit", "coat"),
        *("crossvit", "twins", "levit", "tnt", "convit", "vitamin", "davit", "nest"),
    ),
    "a position bias inside the attention": (
        "beit_",
        "beitv2",
        "vit_relpos",
        "vit_srelpos",
    ),
    "a convolutional stem": (
        *("vit_tiny_r_", "vit_small_r26", "vit_small_r50", "vit_base_r26"),
        *("vit_base_r50", "vit_large_r50", "vit_small_resnet", "vit_base_resnet"),
    ),
    "windows and position biases inside the attention": ("samvit",),
    "images of any size cut into patches outside": ("naflexvit",),
}


def unknown_architecture(name: str) -> str:
    """Return the message for a timm name that is not in the table."""
    import difflib

    base = name.split(".")[0]
    for reason, words in _NOT_PLAIN.items():
        for word in words:
            if base.startswith(word) or f"_{word}" in base:
                return (
                    f"{name!r} is not a plain ViT: {word} models have {reason}, which "
                    "keras_vit does not build."
                )
    close = difflib.get_close_matches(base, timm_table(), n=5)
    return (
        f"{name!r} is no architecture of timm that keras_vit knows. "
        + (f"Close names: {close}. " if close else "")
        + "keras_vit.list_models() lists them all."
    )


def _config(cls: str, args: dict[str, Any]) -> ViTConfig:
    args = {k: v for k, v in args.items() if k not in _WITHOUT_EFFECT}
    take = args.pop
    dim = take("embed_dim", 768)
    ratio = take("mlp_ratio", 4.0)
    pool = take("global_pool")
    norm, epsilon = _normalization(take("norm_layer", None))
    fields: dict[str, Any] = {
        "image_size": _pair(take("img_size", 224)),
        "patch_size": _pair(take("patch_size", 16)),
        "channels": take("in_chans", 3),
        "num_classes": take("num_classes", 1000) or None,
        "hidden_dim": dim,
        "num_layers": take("depth", 12),
        "num_heads": take("num_heads", 12),
        "mlp_dim": int(dim * ratio),
        "dropout_rate": max(take("proj_drop_rate", 0.0), take("pos_drop_rate", 0.0)),
        "attention_dropout_rate": take("attn_drop_rate", 0.0),
        "stochastic_depth_rate": take("drop_path_rate", 0.0),
        "normalization": norm,
        "epsilon": epsilon,
        "pooling": _POOLING[pool],
        "use_class_token": take("class_token", True),
    }
    fields["query_key_norm"] = "head" if take("qk_norm", False) else None
    # timm's VisionTransformer skips layer scale for 0, too.
    fields["layer_scale"] = take("init_values", None) or None
    if take("no_embed_class", False):
        fields["positions"] = "patches"
    if cls == "Eva":
        _add_eva(fields, args, pool, ratio)
    else:
        _add_vision_transformer(fields, args, pool)
    if cls == "VisionTransformerDistilled":
        fields["use_distillation_token"] = True
    if not fields["use_class_token"] and not fields.get("num_registers"):
        fields.pop("positions", None) if fields.get("positions") == "patches" else None
    if args:
        raise ValueError(
            f"keras_vit does not know the timm argument(s) {sorted(args)} of {cls}. "
            "Load the model with timm and save it without them."
        )
    return ViTConfig(**fields)


_POOLING = {"token": "token", "avg": "mean", "map": "attention", "": None}


def _add_vision_transformer(
    fields: dict[str, Any], args: dict[str, Any], pool: str
) -> None:
    take = args.pop
    fields["qkv_bias"] = take("qkv_bias", True)
    fields["use_context_norm"] = take("scale_attn_norm", False)
    fields["use_mlp_norm"] = take("scale_mlp_norm", False)
    use_bias = take("proj_bias", True)
    fields["use_output_bias"] = fields["use_mlp_bias"] = use_bias
    if take("pos_embed", "learn") != "learn":
        fields["positions"] = None
    fields["num_registers"] = take("reg_tokens", 0)
    fields["use_pre_norm"] = take("pre_norm", False)
    fields["use_patch_bias"] = not fields["use_pre_norm"]
    fields["use_patch_norm"] = take("embed_norm_layer", None) is not None
    fc_norm = take("fc_norm", None)
    after = pool == "avg" if fc_norm is None else fc_norm
    fields["final_norm"] = "after_pooling" if after else "before_pooling"
    if not take("final_norm", True):
        fields["final_norm"] = None
    include_prefix = take("pool_include_prefix", False)
    fields["pool_prefix"] = include_prefix and pool in ("avg", "map")
    activation = take("act_layer", None) or "gelu"
    mlp = str(take("mlp_layer", None) or "Mlp")
    if mlp.startswith(("SwiGLU", "GluMlp")):
        fields["mlp"] = "gated"
        activation = "silu"
        if mlp.startswith("GluMlp"):  # Its width counts gate and values.
            fields["mlp_dim"] //= 2
    fields["activation"] = _ACTIVATIONS[str(activation).lower()]
    if take("attn_layer", None) == "diff":
        fields["attention"] = "differential"
    block = take("block_fn", None) or "Block"
    fields["block"] = _BLOCKS[block]
    if fields["block"] == "post_norm":  # It sets the first value of the norms.
        fields["layer_scale"] = None
    if block == "DiffParallelScalingBlock":
        fields["attention"] = "differential"


_BLOCKS = {
    "Block": "pre_norm",
    "ResPostBlock": "post_norm",
    "ParallelScalingBlock": "parallel",
    "DiffParallelScalingBlock": "parallel_joint",
    "ParallelThingsBlock": "twin",
}


def _add_eva(
    fields: dict[str, Any], args: dict[str, Any], pool: str, ratio: float
) -> None:
    take = args.pop
    has_bias = take("qkv_bias", True)
    attention = take("attn_type", "eva")
    # timm's EvaAttention has no bias for keys, its AttentionRope has one.
    fields["qkv_bias"] = ("qv" if attention == "eva" else True) if has_bias else False
    kv_heads = take("num_kv_heads", None)
    if isinstance(kv_heads, list):
        kv_heads = tuple(kv_heads)
    fields["num_kv_heads"] = kv_heads
    fields["use_context_norm"] = take("scale_attn_inner", False)
    fields["use_mlp_norm"] = take("scale_mlp", False)
    align = take("swiglu_align_to", 0)
    if take("swiglu_mlp", False):
        fields["mlp"], fields["activation"] = "gated", "silu"
        if align:
            fields["mlp_dim"] += -fields["mlp_dim"] % align
    fields["num_registers"] = take("num_reg_tokens", 0)
    if not take("use_abs_pos_emb", True):
        fields["positions"] = None
    fields["use_mlp_layer_scale"] = not take("attn_only_layer_scale", False)
    fields["block"] = "post_norm" if take("use_post_norm", False) else "pre_norm"
    if fields["block"] == "post_norm":
        fields["layer_scale"] = None
    fields["use_pre_norm"] = take("use_pre_transformer_norm", False)
    fields["use_patch_bias"] = not fields["use_pre_norm"]
    fc_norm, norm = take("use_fc_norm", None), take("use_post_transformer_norm", None)
    after = pool == "avg" if fc_norm is None else fc_norm
    before = not after if norm is None else norm
    if after and before:
        raise ValueError("keras_vit does not build a norm before and after pooling.")
    fields["final_norm"] = None
    if after or before:
        fields["final_norm"] = "after_pooling" if after else "before_pooling"
    if pool == "map":
        fields["pool_prefix"] = True
        fields["pooling_num_heads"] = take("attn_pool_num_heads", None)
        pool_ratio = take("attn_pool_mlp_ratio", None) or ratio
        fields["pooling_mlp_dim"] = int(fields["hidden_dim"] * pool_ratio)
    take("attn_pool_num_heads", None), take("attn_pool_mlp_ratio", None)
    _add_rotary(fields, args)


def _add_rotary(fields: dict[str, Any], args: dict[str, Any]) -> None:
    take = args.pop
    used, kind = take("use_rot_pos_emb", False), take("rope_type", "cat")
    half = take("rope_rotate_half", False)
    options = {
        "rotary_temperature": float(take("rope_temperature", 10000.0)),
        "rotary_offset": float(take("rope_grid_offset", 0.0)),
        "rotary_order": "xy" if take("rope_grid_indexing", "ij") == "xy" else "yx",
        "rotary_grid": take("ref_feat_shape", None),
        "rotary_layout": "half" if half else "interleaved",
    }
    if not used:
        return
    fields["rotary"] = {"cat": "axial", "dinov3": "centred", "mixed": "mixed"}[kind]
    if kind != "cat":  # The others have no such options; keep the config plain.
        options = {"rotary_temperature": options["rotary_temperature"]}
    elif options["rotary_grid"] is not None:
        options["rotary_grid"] = _pair(options["rotary_grid"])
    fields.update(options)


def _normalization(layer: str | None) -> tuple[str, float]:
    if layer is None:
        return "layer", 1e-6
    kind = "rms" if layer.lower().startswith("rms") else "layer"
    match = re.search(r"eps=([0-9.e+-]+)", layer)
    return kind, float(match.group(1)) if match else 1e-6


def _pair(size: Any) -> tuple[int, int]:
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)
