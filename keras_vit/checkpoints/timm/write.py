"""From a `ViTConfig` to the timm architecture and arguments that build the same."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.comparable import comparable, differing_fields
from keras_vit.checkpoints.entries import store
from keras_vit.checkpoints.files.json import write_json
from keras_vit.checkpoints.files.safetensors import write_safetensors
from keras_vit.checkpoints.timm.config import arguments, config_from_timm, timm_table
from keras_vit.checkpoints.timm.entries import timm_entries
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing

_POOLING = {"token": "token", "mean": "avg", "attention": "map", None: ""}


def write_timm(model: Any, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` as timm reads them.

    `timm.create_model("local-dir:FOLDER", pretrained=True)` builds the model.
    """
    config = model.config
    found = timm_model(config)
    arrays = store(model, timm_entries(config, found.names))
    facts: dict[str, Any] = {
        "architecture": found.architecture,
        "num_classes": config.num_classes or 0,
        "num_features": config.hidden_dim,
        "pretrained_cfg": timm_pretrained_cfg(config, model.preprocessing),
        "model_args": found.model_args,
    }
    if model.class_names is not None:
        facts["label_names"] = list(model.class_names)
    write_safetensors(folder / "model.safetensors", arrays, {"format": "pt"})
    write_json(folder / "config.json", facts)


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
    if config.pad_images and not _is_whole(config):
        raise ValueError(
            "timm keeps positions of whole patches alone, received pad_images=True and "
            f"image_size={config.image_size}, patch_size={config.patch_size}. Use "
            "keras_vit.resize(model, image_size=...) to multiples of the patch first."
        )
    wanted = _comparable(config)
    best: tuple[tuple[bool, int], str, dict[str, Any]] | None = None
    nearest: list[str] | None = None
    for architecture, row in timm_table().items():
        args = _arguments(wanted, row)
        args = {k: v for k, v in args.items() if row["args"].get(k, _MISSING) != v}
        try:
            found = _comparable(config_from_timm(architecture, **args))
        except (ValueError, TypeError):
            continue
        differing = differing_fields(found, wanted)
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


def _is_whole(config: ViTConfig) -> bool:
    sizes = zip(config.image_size or (), config.patch_size, strict=True)
    return not any(size % patch for size, patch in sizes)


_MISSING = object()


def _comparable(config: ViTConfig) -> ViTConfig:
    # timm returns logits, whatever comes after them here.
    return comparable(replace(config, classifier_activation=None))


def _arguments(config: ViTConfig, row: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that turn a row of the table into a config.

    They are those that can be given as a JSON value.
    """
    args = {
        name: argument.write(getattr(config, argument.field))
        for name, argument in arguments(row["cls"]).items()
        if argument.write is not None
    }
    counts_gate = str(row["args"].get("mlp_layer")).startswith("GluMlp")
    width = 2 * config.mlp_dim if counts_gate else config.mlp_dim
    args["mlp_ratio"] = _ratio(width, config.hidden_dim)
    args["global_pool"] = _POOLING.get(config.pooling, "?")
    if row["cls"] != "Eva":
        return {**args, **_vision_transformer_arguments(config)}
    if "num_kv_heads" in row["args"] or config.num_kv_heads is not None:
        heads = (config.block_kv_heads(i) for i in range(config.num_layers))
        args["num_kv_heads"] = list(heads)
    return {**args, **_eva_arguments(config)}


def _vision_transformer_arguments(config: ViTConfig) -> dict[str, Any]:
    return {
        "final_norm": config.final_norm is not None,
        "fc_norm": config.final_norm == "after_pooling",
        "pool_include_prefix": config.pool_prefix,
        "pos_embed": "none" if config.positions is None else "learn",
        "act_layer": config.activation,
    }


def _eva_arguments(config: ViTConfig) -> dict[str, Any]:
    args: dict[str, Any] = {
        "qkv_bias": config.qkv_bias is not False,
        "use_post_transformer_norm": config.final_norm == "before_pooling",
        "use_fc_norm": config.final_norm == "after_pooling",
        "use_abs_pos_emb": config.positions is not None,
        "swiglu_mlp": config.mlp == "gated",
        "use_rot_pos_emb": config.rotary is not None,
        "rope_temperature": config.rotary_temperature,
        "rope_grid_offset": config.rotary_offset,
    }
    if config.rotary_grid is not None:
        args["ref_feat_shape"] = list(config.rotary_grid)
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
        except (ValueError, TypeError):
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


def _ratio(width: int, hidden_dim: int) -> float:
    """Return a ratio that timm's int(hidden_dim * ratio) turns into `width`."""
    ratio = width / hidden_dim
    return ratio if int(hidden_dim * ratio) == width else (width + 0.5) / hidden_dim
