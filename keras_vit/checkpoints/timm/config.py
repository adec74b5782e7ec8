"""From the arguments of a timm model to a `ViTConfig`, and back to a timm name.

Covers timm's `VisionTransformer`, `VisionTransformerDistilled` and `Eva`. The table of
architectures is `models.json`, made by `benchmarks/make_timm_table.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_vit.checkpoints.files.json import read_table
from keras_vit.config import ViTConfig

# Arguments that change training or are of no meaning to us.
_WITHOUT_EFFECT = {
    *("drop_rate", "patch_drop_rate", "weight_init", "fix_init", "head_init_scale"),
    *("dynamic_img_size", "strict_img_size", "qkv_fused"),
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
_NORMS = {
    "layernorm": "layer",
    "layernormfp32": "layer",
    "rmsnorm": "rms",
    "rmsnormfp32": "rms",
}


def timm_table() -> dict[str, dict[str, Any]]:
    """Return class, family, arguments and pretrained tags of each architecture."""
    return read_table("timm/models.json")


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
    args = {**row["args"], **{k: v for k, v in model_args.items() if v is not None}}
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


_POOLING = {"token": "token", "avg": "mean", "map": "attention", "": None}
_BLOCKS = {
    "Block": "pre_norm",
    "ResPostBlock": "post_norm",
    "ParallelScalingBlock": "parallel",
    "DiffParallelScalingBlock": "parallel_joint",
    "ParallelThingsBlock": "twin",
}
_ROTATIONS = {"cat": "axial", "dinov3": "centred", "mixed": "mixed"}
_POSITIONS = {"learn": True, "none": False, "": False}
_MLPS = {"Mlp": "plain", "SwiGLU": "gated", "SwiGLUPacked": "gated", "GluMlp": "gated"}
_ATTENTIONS = {"": "softmax", "attn": "softmax", "diff": "differential"}
_BIASES = {"eva": "qv", "rope": True}  # EvaAttention has no bias for keys.
_ORDERS = {"ij": "yx", "xy": "xy"}


def _known(name: str, value: Any, meanings: dict[Any, Any]) -> Any:
    """Return what a value of an argument means.

    Raises:
        ValueError: if it is none of those that keras_vit builds.
    """
    key = value.lower() if isinstance(value, str) and name == "act_layer" else value
    if isinstance(key, (list, dict)) or key not in meanings:
        raise ValueError(
            f"The timm argument {name} must be one of {[*meanings]}, received {name}="
            f"{value!r}, which keras_vit does not build. Use the model with timm."
        )
    return meanings[key]


def pair(size: Any) -> tuple[int, int]:
    """Return (height, width) of a size that may be one number."""
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)


def size(pair: tuple[int, int]) -> int | list[int]:
    """Return one number for two that are the same, as timm writes sizes."""
    return pair[0] if pair[0] == pair[1] else list(pair)


@dataclass(frozen=True)
class Argument:
    """An argument of timm that is one field of `ViTConfig`.

    Args:
        field: of `ViTConfig`.
        default: of the argument, timm 1.0.
        read: from the value of the argument to that of the field.
        write: back. None: the argument is read only.
    """

    field: str
    default: Any = False
    read: Callable[[Any], Any] = lambda value: value
    write: Callable[[Any], Any] | None = lambda value: value


# By name; of all classes, and of each.
SHARED = {
    "img_size": Argument("image_size", 224, pair, list),
    "patch_size": Argument("patch_size", 16, pair, size),
    "in_chans": Argument("channels", 3),
    "num_classes": Argument("num_classes", 1000, lambda n: n or None, lambda n: n or 0),
    "embed_dim": Argument("hidden_dim", 768),
    "depth": Argument("num_layers", 12),
    "num_heads": Argument("num_heads", 12),
    "class_token": Argument("use_class_token", True),
    "dynamic_img_pad": Argument("pad_images", read=bool),
    "no_embed_class": Argument(
        "positions",
        read=lambda skips: "patches" if skips else "all",
        write=lambda positions: positions == "patches",
    ),
    "qk_norm": Argument(
        "query_key_norm",
        read=lambda has_norm: "head" if has_norm else None,
        write=lambda norm: norm == "head",
    ),
    # VisionTransformer skips layer scale for 0, too.
    "init_values": Argument("layer_scale", None, lambda value: value or None),
    "attn_drop_rate": Argument("attention_dropout_rate", 0.0, write=None),
    "drop_path_rate": Argument("stochastic_depth_rate", 0.0, write=None),
}
VISION_TRANSFORMER = {
    "qkv_bias": Argument("qkv_bias", True, write=lambda bias: bias is True),
    "reg_tokens": Argument("num_registers", 0),
    "pre_norm": Argument("use_pre_norm"),
    "scale_attn_norm": Argument("use_context_norm"),
    "scale_mlp_norm": Argument("use_mlp_norm"),
    "proj_bias": Argument("use_output_bias", True),
    "embed_norm_layer": Argument("use_patch_norm", None, bool, None),
    "block_fn": Argument(
        "block",
        "Block",
        lambda block: _known("block_fn", block or "Block", _BLOCKS),
        None,
    ),
}
EVA = {
    "num_reg_tokens": Argument("num_registers", 0),
    "use_pre_transformer_norm": Argument("use_pre_norm"),
    "scale_attn_inner": Argument("use_context_norm"),
    "scale_mlp": Argument("use_mlp_norm"),
    "attn_only_layer_scale": Argument(
        "use_mlp_layer_scale", read=lambda only: not only, write=lambda both: not both
    ),
    "num_kv_heads": Argument("num_kv_heads", None, write=None),
    "use_post_norm": Argument(
        "block", read=lambda post: "post_norm" if post else "pre_norm", write=None
    ),
}


def arguments(cls: str) -> dict[str, Argument]:
    """Return the arguments of a class that are one field each."""
    return {**SHARED, **(EVA if cls == "Eva" else VISION_TRANSFORMER)}


def _config(cls: str, args: dict[str, Any]) -> ViTConfig:
    args = {k: v for k, v in args.items() if k not in _WITHOUT_EFFECT}
    patch_norm = args.get("embed_norm_layer")
    fields = {
        argument.field: argument.read(args.pop(name, argument.default))
        for name, argument in arguments(cls).items()
    }
    pool = args.pop("global_pool", "avg" if cls == "Eva" else "token")
    ratio = args.pop("mlp_ratio", 4.0)
    norm, epsilon = _normalization("norm_layer", args.pop("norm_layer", None))
    if patch_norm and _normalization("embed_norm_layer", patch_norm) != (norm, epsilon):
        raise ValueError(
            "The timm argument embed_norm_layer must be the norm of norm_layer, "
            f"received embed_norm_layer={patch_norm!r}; keras_vit has one kind per "
            "model. Use the model with timm."
        )
    rates = args.pop("proj_drop_rate", 0.0), args.pop("pos_drop_rate", 0.0)
    fields |= {
        "pooling": _known("global_pool", pool, _POOLING),
        "mlp_dim": int(fields["hidden_dim"] * ratio),
        "normalization": norm,
        "epsilon": epsilon,
        "dropout_rate": max(rates),
        "use_patch_bias": not fields["use_pre_norm"],
        "use_distillation_token": cls == "VisionTransformerDistilled",
    }
    if cls == "Eva":
        _add_eva(fields, args, pool, ratio)
    else:
        _add_vision_transformer(fields, args, pool)
    if fields["block"] == "post_norm":  # It sets the first value of the norms.
        fields["layer_scale"] = None
    has_prefix = fields["use_class_token"] or fields["num_registers"]
    if not has_prefix and fields["positions"] == "patches":
        fields["positions"] = "all"
    if args:
        raise ValueError(
            f"keras_vit does not know the timm argument(s) {sorted(args)} of {cls}. "
            "Load the model with timm and save it without them."
        )
    return ViTConfig(**fields)


def _add_vision_transformer(
    fields: dict[str, Any], args: dict[str, Any], pool: str
) -> None:
    take = args.pop
    fields["use_mlp_bias"] = fields["use_output_bias"]
    if not _known("pos_embed", take("pos_embed", "learn"), _POSITIONS):
        fields["positions"] = None
    after = take("fc_norm", None)
    after = pool == "avg" if after is None else after
    fields["final_norm"] = "after_pooling" if after else "before_pooling"
    if not take("final_norm", True):
        fields["final_norm"] = None
    include_prefix = take("pool_include_prefix", False)
    fields["pool_prefix"] = include_prefix and pool in ("avg", "map")
    mlp = str(take("mlp_layer", None) or "Mlp").partition("(")[0]
    fields["mlp"] = _known("mlp_layer", mlp, _MLPS)
    if mlp == "GluMlp":  # Its width counts gate and values.
        fields["mlp_dim"] //= 2
    activation = take("act_layer", None) or "gelu"
    fields["activation"] = _known("act_layer", activation, _ACTIVATIONS)
    attention = take("attn_layer", None) or ""
    fields["attention"] = _known("attn_layer", attention, _ATTENTIONS)
    if fields["block"] == "parallel_joint":
        fields["attention"] = "differential"


def _add_eva(
    fields: dict[str, Any], args: dict[str, Any], pool: str, ratio: float
) -> None:
    take = args.pop
    bias = _known("attn_type", take("attn_type", "eva"), _BIASES)
    fields["qkv_bias"] = bias if take("qkv_bias", True) else False
    align = take("swiglu_align_to", 0)
    if take("swiglu_mlp", False):
        fields["mlp"], fields["activation"] = "gated", "silu"
        if align:
            fields["mlp_dim"] += -fields["mlp_dim"] % align
    if not take("use_abs_pos_emb", True):
        fields["positions"] = None
    after, before = take("use_fc_norm", None), take("use_post_transformer_norm", None)
    after = pool == "avg" if after is None else after
    before = not after if before is None else before
    if after and before:
        raise ValueError("keras_vit does not build a norm before and after pooling.")
    fields["final_norm"] = None
    if after or before:
        fields["final_norm"] = "after_pooling" if after else "before_pooling"
    heads, pool_ratio = (
        take("attn_pool_num_heads", None),
        take("attn_pool_mlp_ratio", None),
    )
    if pool == "map":
        fields["pool_prefix"], fields["pooling_num_heads"] = True, heads
        fields["pooling_mlp_dim"] = int(fields["hidden_dim"] * (pool_ratio or ratio))
    _add_rotary(fields, args)


def _add_rotary(fields: dict[str, Any], args: dict[str, Any]) -> None:
    take = args.pop
    is_used, kind = take("use_rot_pos_emb", False), take("rope_type", "cat")
    temperature, grid = take("rope_temperature", 10000.0), take("ref_feat_shape", None)
    axial = {
        "rotary_offset": float(take("rope_grid_offset", 0.0)),
        "rotary_order": _known(
            "rope_grid_indexing", take("rope_grid_indexing", "ij"), _ORDERS
        ),
        "rotary_grid": None if grid is None else pair(grid),
        "rotary_layout": "half" if take("rope_rotate_half", False) else "interleaved",
    }
    if is_used:
        fields["rotary"] = _known("rope_type", kind, _ROTATIONS)
        fields["rotary_temperature"] = float(temperature)
        if kind == "cat":  # The others have no such options.
            fields.update(axial)


def _normalization(name: str, layer: Any) -> tuple[str, float]:
    """Return kind and epsilon of a norm, such as "RmsNorm(eps=1e-05)"."""
    if layer is None:
        return "layer", 1e-6
    match = re.fullmatch(r"(\w+)(?:\(eps=([0-9.e+-]+)\))?", str(layer))
    kind = match[1].replace("_", "").lower() if match else str(layer)
    epsilon = match[2] if match else None
    return _known(name, kind, _NORMS), float(epsilon or 1e-6)
