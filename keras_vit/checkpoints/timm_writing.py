"""From a `ViTConfig` to the timm architecture and arguments that build the same."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, fields, replace
from typing import Any

from keras_vit.checkpoints.timm_config import config_from_timm, timm_table
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing

_POOLING = {"token": "token", "mean": "avg", "attention": "map", None: ""}
# What a config may hold without changing the numbers that a trained model computes.
_OF_TRAINING = (
    *("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"),
    *("patch_dropout_rate", "stochastic_depth_curve"),
)


@dataclass(frozen=True)
class TimmModel:
    """A timm model: `timm.create_model(architecture, **model_args)`.

    Args:
        architecture: name without tag.
        model_args: arguments that differ from those of the architecture, JSON values.
        names: tells which of timm's two namings of some parts the model has; for
            `timm_entries`.
    """

    architecture: str
    model_args: dict[str, Any]
    names: Container[str]


class _Naming(Container[str]):
    """The names that say how a model keeps queries, gates and layer scale."""

    def __init__(self, suffixes: tuple[str, ...]) -> None:
        self._suffixes = suffixes

    def __contains__(self, name: object) -> bool:
        return str(name).endswith(self._suffixes)


def timm_model(config: ViTConfig) -> TimmModel:
    """Return the timm model of a config: the architecture with the fewest changes.

    Raises:
        ValueError: if no timm architecture can express the config; the message names
            the options of the nearest that differ.
    """
    if config.image_size is None:
        raise ValueError(
            "timm's models are made for one image size, received image_size=None. Use "
            "keras_vit.resize(model, image_size=...) first."
        )
    wanted = _comparable(config)
    best: tuple[tuple[bool, int], str, dict[str, Any]] | None = None
    nearest: list[str] | None = None
    for architecture, row in timm_table().items():
        args = _arguments(wanted, row["cls"])
        if str(row["args"].get("mlp_layer")).startswith("GluMlp"):
            # Its ratio counts gate and values.
            args["mlp_ratio"] = _ratio(2 * wanted.mlp_dim, wanted.hidden_dim)
        args = {k: v for k, v in args.items() if row["args"].get(k, _MISSING) != v}
        try:
            found = _comparable(config_from_timm(architecture, **args))
        except (ValueError, TypeError, KeyError):
            continue
        differing = [
            field.name
            for field in fields(ViTConfig)
            if getattr(found, field.name) != getattr(wanted, field.name)
        ]
        if not differing:
            args = _needed(architecture, args, wanted)
            # VisionTransformer before Eva: what both can build is the former's.
            rank = (row["cls"] == "Eva", len(args))
            if best is None or rank < best[0]:
                best = (rank, architecture, args)
        elif nearest is None or len(differing) < len(nearest):
            nearest = differing
    if best is None:
        raise ValueError(
            "timm has no architecture for this model: the nearest differs in "
            f"{nearest}. Save it with format='keras'."
        )
    _, architecture, args = best
    row = timm_table()[architecture]
    return TimmModel(architecture, args, _naming(row["cls"], {**row["args"], **args}))


_MISSING = object()


def _comparable(config: ViTConfig) -> ViTConfig:
    """Return the config with one spelling for what is the same in two ways."""
    defaults = {field.name: field.default for field in fields(ViTConfig)}
    changes: dict[str, Any] = {name: defaults[name] for name in _OF_TRAINING}
    changes["use_class_token"] = config.has_class_token
    if config.mlp == "gated":
        changes["activation"] = config.activation
    if config.num_prefix_tokens == 0 and config.positions in ("patches", "class"):
        changes["positions"] = "all"
    if config.pooling == "attention":
        changes["pooling_num_heads"] = config.num_pooling_heads
        changes["pooling_mlp_dim"] = config.pooling_mlp_dim or config.mlp_dim
    if config.num_kv_heads is not None:
        heads = (config.block_kv_heads(i) for i in range(config.num_layers))
        changes["num_kv_heads"] = tuple(heads)
    return replace(config, **changes, classifier_activation=None)


def _arguments(config: ViTConfig, cls: str) -> dict[str, Any]:
    """Return timm's arguments for what can be given as a JSON value."""
    has_patch_rows = config.positions == "patches"
    args: dict[str, Any] = {
        "img_size": list(config.image_size or ()),
        "patch_size": _size(config.patch_size),
        "in_chans": config.channels,
        "num_classes": config.num_classes or 0,
        "embed_dim": config.hidden_dim,
        "depth": config.num_layers,
        "num_heads": config.num_heads,
        "mlp_ratio": _ratio(config.mlp_dim, config.hidden_dim),
        "global_pool": _POOLING.get(config.pooling, "?"),
        "class_token": config.has_class_token,
        "no_embed_class": has_patch_rows,
        "qk_norm": config.query_key_norm == "head",
        "init_values": config.layer_scale,
    }
    if cls == "Eva":
        args.update(_eva_arguments(config))
    else:
        args.update(_vision_transformer_arguments(config))
    return args


def _vision_transformer_arguments(config: ViTConfig) -> dict[str, Any]:
    return {
        "qkv_bias": config.qkv_bias is True,
        "reg_tokens": config.num_registers,
        "pre_norm": config.use_pre_norm,
        "final_norm": config.final_norm is not None,
        "fc_norm": config.final_norm == "after_pooling",
        "pool_include_prefix": config.pool_prefix,
        "scale_attn_norm": config.use_context_norm,
        "scale_mlp_norm": config.use_mlp_norm,
        "proj_bias": config.use_output_bias,
        "pos_embed": "none" if config.positions is None else "learn",
        **({} if config.mlp == "gated" else {"act_layer": config.activation}),
    }


def _eva_arguments(config: ViTConfig) -> dict[str, Any]:
    args: dict[str, Any] = {
        "qkv_bias": config.qkv_bias is not False,
        "num_reg_tokens": config.num_registers,
        "use_pre_transformer_norm": config.use_pre_norm,
        "use_post_transformer_norm": config.final_norm == "before_pooling",
        "use_fc_norm": config.final_norm == "after_pooling",
        "use_abs_pos_emb": config.positions is not None,
        "scale_attn_inner": config.use_context_norm,
        "scale_mlp": config.use_mlp_norm,
        "swiglu_mlp": config.mlp == "gated",
        "attn_only_layer_scale": not config.use_mlp_layer_scale,
        "use_rot_pos_emb": config.rotary is not None,
        "rope_temperature": config.rotary_temperature,
        "rope_grid_offset": config.rotary_offset,
    }
    if config.rotary_grid is not None:
        args["ref_feat_shape"] = list(config.rotary_grid)
    if config.num_kv_heads is not None:
        heads = (config.block_kv_heads(i) for i in range(config.num_layers))
        args["num_kv_heads"] = list(heads)
    if config.pooling == "attention":
        width = config.pooling_mlp_dim or config.mlp_dim
        args["attn_pool_num_heads"] = config.num_pooling_heads
        args["attn_pool_mlp_ratio"] = _ratio(width, config.hidden_dim)
    return args


def _needed(
    architecture: str, args: dict[str, Any], wanted: ViTConfig
) -> dict[str, Any]:
    """Leave out each argument without which timm builds the same."""
    for name in sorted(args):
        fewer = {key: value for key, value in args.items() if key != name}
        try:
            same = _comparable(config_from_timm(architecture, **fewer)) == wanted
        except (ValueError, TypeError, KeyError):
            same = False
        if same:
            args = fewer
    return args


def _naming(cls: str, args: dict[str, Any]) -> Container[str]:
    suffixes: list[str] = []
    if cls == "Eva":
        suffixes.append(".gamma_1")
        if not args.get("qkv_fused", True):
            suffixes.append(".q_proj.weight")
        split = args.get("scale_mlp") or args.get("swiglu_align_to")
        if args.get("swiglu_mlp") and split:
            suffixes.append(".fc1_g.weight")
    elif str(args.get("mlp_layer", "")).startswith("SwiGLU"):
        suffixes.append(".fc1_g.weight")
    return _Naming(tuple(suffixes) or ("\0",))


def timm_pretrained_cfg(
    config: ViTConfig, preprocessing: Preprocessing | None
) -> dict[str, Any]:
    """Return what timm calls `pretrained_cfg`: input and preprocessing."""
    facts: dict[str, Any] = {
        "input_size": [config.channels, *(config.image_size or ())],
        "num_classes": config.num_classes or 0,
        "fixed_input_size": True,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    }
    if preprocessing is not None:
        plain = (
            isinstance(preprocessing.crop_ratio, float)
            and preprocessing.resize_dtype == "uint8"
            and preprocessing.transparency == "drop"
            and preprocessing.interpolation not in ("box", "hamming")
        )
        if not plain:
            raise ValueError(
                "timm's preprocessing has one crop ratio, no rescaling before it "
                f"resizes, and drops transparency, received {preprocessing}. Set "
                "another preprocessing, or save with format='huggingface' or 'keras'."
            )
        modes = {"crop": "center", "squash": "squash", "border": "border"}
        facts.update(
            mean=list(preprocessing.mean),
            std=list(preprocessing.std),
            interpolation=preprocessing.interpolation,
            crop_pct=preprocessing.crop_ratio,
            crop_mode=modes[preprocessing.resize],
        )
    return facts


def _size(size: tuple[int, int]) -> int | list[int]:
    return size[0] if size[0] == size[1] else list(size)


def _ratio(width: int, hidden_dim: int) -> float:
    """Return a ratio that timm's int(hidden_dim * ratio) turns into `width`."""
    ratio = width / hidden_dim
    return ratio if int(hidden_dim * ratio) == width else (width + 0.5) / hidden_dim
