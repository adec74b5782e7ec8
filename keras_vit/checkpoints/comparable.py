"""Whether two configs are of models that compute the same.

A format expresses a config if what is written for it reads back as that config, so
that reading alone says what each option of the format means.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from keras_vit.config import ViTConfig

# What changes nothing in a forward pass at the size of the config.
WITHOUT_EFFECT = (
    *("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"),
    *("patch_dropout_rate", "stochastic_depth_curve"),
    "resampling",  # At another size alone, where each library has its own.
)


def comparable(config: ViTConfig) -> ViTConfig:
    """Return the config with one spelling for what is the same in two ways."""
    unread = [*WITHOUT_EFFECT]
    changes: dict[str, Any] = {
        "use_class_token": config.has_class_token,
        "normalization": config.normalization.removesuffix("_float16"),
    }
    if config.rotary is None:
        unread += [f.name for f in fields(config) if f.name.startswith("rotary_")]
    if config.num_classes is None:
        unread.append("use_head_bias")
    if config.positions in ("class", "patches"):
        everywhere = replace(config, positions="all")
        if everywhere.num_position_rows == config.num_position_rows:
            changes["positions"] = "all"
    if config.pooling in ("attention", "query"):
        changes["pooling_num_heads"] = config.num_pooling_heads
    if config.pooling == "attention":
        changes["pooling_mlp_dim"] = config.pooling_mlp_dim or config.mlp_dim
    if config.num_kv_heads is not None:
        heads = tuple(config.block_kv_heads(i) for i in range(config.num_layers))
        is_grouped = set(heads) != {config.num_heads}
        changes["num_kv_heads"] = heads if is_grouped else None
    defaults = {field.name: field.default for field in fields(config)}
    return replace(config, **{name: defaults[name] for name in unread}, **changes)


def differing_fields(found: ViTConfig, wanted: ViTConfig) -> list[str]:
    """Return the names of the fields in which two comparable configs differ."""
    names = (field.name for field in fields(ViTConfig))
    return [name for name in names if getattr(found, name) != getattr(wanted, name)]
