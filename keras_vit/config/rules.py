"""The rules among options, for every model that is not simply one of the paper's."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeAlias

ViTConfig: TypeAlias = Any  # Its module imports this one.


def check_rules(config: ViTConfig) -> None:
    """Raise a ValueError if two fields contradict each other."""
    _check_pooling(config)
    _check_computed_positions(config)
    _check_position_grid(config)
    _check_prefix(config)
    _check_pooling_options(config)
    _check_heads(config)
    _check_block(config)
    _check_rejection(config)


def _check_pooling(config: ViTConfig) -> None:
    if config.pooling in ("token", "token_mean") and not config.has_class_token:
        raise ValueError(
            f"pooling={config.pooling!r} reads the class token, received "
            "use_class_token=False. Use pooling='mean', or keep the class token."
        )
    if config.pooling is None and (config.num_classes or config.representation_size):
        raise ValueError(
            "pooling=None returns every token and leaves nothing to classify, "
            f"received num_classes={config.num_classes}, "
            f"representation_size={config.representation_size}. Pass "
            "num_classes=None and representation_size=None, or choose a pooling."
        )
    if config.num_classes is None and config.classifier_activation is not None:
        raise ValueError(
            "classifier_activation needs a classifier, received num_classes=None, "
            f"classifier_activation={config.classifier_activation!r}. "
            "Pass num_classes, or leave classifier_activation out."
        )


def _check_computed_positions(config: ViTConfig) -> None:
    if config.positions in ("sincos", "sincos_open") and config.hidden_dim % 4:
        raise ValueError(
            "hidden_dim must be a multiple of 4 for computed positions, received "
            f"hidden_dim={config.hidden_dim}, positions={config.positions!r}. Choose "
            "such a hidden_dim, or positions='all'."
        )
    if config.rotary is not None and config.head_dim % 4:
        raise ValueError(
            "rotary positions need heads whose width is a multiple of 4, received "
            f"hidden_dim={config.hidden_dim}, num_heads={config.num_heads}. Choose "
            "another num_heads, or rotary=None."
        )
    if config.patch_dropout_rate and config.rotary is not None:
        raise ValueError(
            "patch_dropout_rate leaves out patches that rotary positions count on, "
            f"received patch_dropout_rate={config.patch_dropout_rate}, "
            f"rotary={config.rotary!r}. Use patch_dropout_rate=0, or rotary=None."
        )
    if config.use_class_rotation and not (config.rotary and config.has_class_token):
        raise ValueError(
            "use_class_rotation rotates the class token among rotated patches, "
            f"received rotary={config.rotary!r} and has_class_token="
            f"{config.has_class_token}. Pass rotary='axial' and "
            "use_class_token=True, or leave it out."
        )


def _check_position_grid(config: ViTConfig) -> None:
    is_resampled = config.image_size is None and config.has_learned_positions
    if is_resampled != (config.position_grid is not None):
        raise ValueError(
            "position_grid, the (rows, columns) of patches that positions are "
            "learned for, goes with image_size=None and learned positions, "
            f"received position_grid={config.position_grid}, image_size="
            f"{config.image_size}, positions={config.positions!r}. Give both or none "
            "of position_grid and image_size=None."
        )


def _check_prefix(config: ViTConfig) -> None:
    """Refuse what the tokens before the patches cannot give."""
    if config.pooling == "prefix" and config.num_prefix_tokens == 0:
        raise ValueError(
            "pooling='prefix' averages the tokens before the patches, received "
            "none. Pass use_class_token=True or num_registers."
        )
    if not config.use_distillation_token:
        return
    if config.pooling not in ("token", None):
        raise ValueError(
            "use_distillation_token needs pooling='token', received "
            f"pooling={config.pooling!r}. Use that, or pooling=None for all tokens."
        )
    if not config.has_class_token:
        raise ValueError(
            "use_distillation_token needs a class token before it, received none. "
            "Pass use_class_token=True."
        )
    if config.representation_size is not None or not config.use_head_bias:
        raise ValueError(
            "The two classifiers of use_distillation_token have biases and no "
            "layer before them, received representation_size="
            f"{config.representation_size}, use_head_bias={config.use_head_bias}. "
            "Leave these at their defaults."
        )


def unread_pooling_options(pooling: str | None) -> list[str]:
    """Return the options of pooling that this pooling has no use for."""
    return [name for name, readers in _READERS.items() if pooling not in readers]


# Which poolings read an option.
_READERS = {
    "num_pooled_blocks": ("token", "token_mean"),
    "pool_prefix": ("mean", "attention", "query"),
    "pooling_num_heads": ("attention", "query"),
    "pooling_mlp_dim": ("attention",),
}


def _check_pooling_options(config: ViTConfig) -> None:
    wrong = _changed(config, unread_pooling_options(config.pooling))
    if wrong:
        raise ValueError(
            f"pooling={config.pooling!r} has no {wrong}. Leave these at their "
            "defaults, or choose another pooling."
        )
    most = config.num_layers
    if config.use_distillation_token or config.final_norm == "after_pooling":
        most = 1
    if config.num_pooled_blocks > most:
        raise ValueError(
            "num_pooled_blocks joins the normalized class tokens of the last blocks, "
            "at most num_layers of them, and none but the last with a distillation "
            f"token or a norm after pooling; received {config.num_pooled_blocks} where "
            f"{most} can be joined. Choose no more than that."
        )
    has_heads = config.pooling in ("attention", "query")
    if has_heads and config.hidden_dim % config.num_pooling_heads:
        raise ValueError(
            "hidden_dim must be a multiple of pooling_num_heads, received "
            f"hidden_dim={config.hidden_dim}, pooling_num_heads="
            f"{config.num_pooling_heads}. Choose a pooling_num_heads that divides "
            "hidden_dim."
        )


def _check_heads(config: ViTConfig) -> None:
    kv_heads = config.num_kv_heads
    if isinstance(kv_heads, tuple) and len(kv_heads) != config.num_layers:
        raise ValueError(
            "num_kv_heads must have one number per block, received "
            f"{len(kv_heads)} numbers for num_layers={config.num_layers}. Pass "
            "as many, or one number for all."
        )
    for i in range(config.num_layers):
        if config.num_heads % config.block_kv_heads(i):
            raise ValueError(
                "num_heads must be a multiple of num_kv_heads, received num_heads="
                f"{config.num_heads}, num_kv_heads={config.num_kv_heads}. Choose a "
                "num_kv_heads that divides num_heads."
            )
    is_differential = config.attention == "differential"
    if is_differential and config.hidden_dim % (2 * config.num_heads):
        raise ValueError(
            "hidden_dim must be a multiple of 2 * num_heads for differential "
            f"attention, received hidden_dim={config.hidden_dim}, "
            f"num_heads={config.num_heads}. Choose a num_heads that divides "
            "hidden_dim / 2."
        )


# What a block, an attention or a kind of rotation does not have.
_PARALLEL = (
    *("rotary", "num_kv_heads", "use_context_norm", "use_output_bias"),
    *("mlp", "use_mlp_bias", "use_mlp_norm", "use_mlp_layer_scale"),
)
_AXIAL_ONLY = (
    *("rotary_offset", "rotary_order", "rotary_grid", "rotary_layout"),
    "use_class_rotation",
)
_UNSUPPORTED: dict[str, tuple[str, ...]] = {
    "parallel": _PARALLEL,
    "parallel_joint": _PARALLEL,
    "twin": ("rotary", "num_kv_heads", "use_mlp_layer_scale"),
    "post_norm": ("layer_scale", "use_mlp_layer_scale"),
    "differential": ("rotary", "num_kv_heads", "query_key_norm", "use_context_norm"),
    "centred": _AXIAL_ONLY,
    "mixed": _AXIAL_ONLY,
}


def _check_block(config: ViTConfig) -> None:
    """Refuse what a block or an attention cannot do, instead of ignoring it."""
    unsupported = [*_UNSUPPORTED.get(config.block, ())]
    unsupported += _UNSUPPORTED.get(config.attention, ())
    unsupported += _UNSUPPORTED.get(config.rotary or "", ())
    if config.is_parallel and config.query_key_norm == "width":
        unsupported.append("query_key_norm")
    if config.qkv_bias == "qv":
        unsupported.append("num_kv_heads")
        if config.is_parallel or config.attention == "differential":
            unsupported.append("qkv_bias")
    wrong = _changed(config, unsupported)
    if wrong:
        raise ValueError(
            f"block={config.block!r} with attention={config.attention!r}, "
            f"rotary={config.rotary!r} and qkv_bias={config.qkv_bias!r} has no "
            f"{wrong}. Leave these at their defaults, or choose another block."
        )


def _check_rejection(config: ViTConfig) -> None:
    """Refuse an output for "none of these" where nothing is one of several."""
    if config.rejection_dim is None:
        return
    if (config.num_classes or 0) < 2 or config.use_distillation_token:
        raise ValueError(
            "rejection_dim adds an output to one classifier of one class or more, "
            f"received num_classes={config.num_classes}, use_distillation_token="
            f"{config.use_distillation_token}. Count the output in num_classes, or "
            "pass rejection_dim=None."
        )
    if config.classifier_activation not in (None, "linear", "softmax"):
        raise ValueError(
            "rejection_dim sets an answer beside the most likely class, which softmax "
            "or logits have, received classifier_activation="
            f"{config.classifier_activation!r}. Use one of these, or "
            "rejection_dim=None."
        )


def _changed(config: ViTConfig, names: list[str]) -> str:
    """Return those of the fields that are not at their defaults, as name=value."""
    defaults = {field.name: field.default for field in fields(config)}
    return ", ".join(
        f"{name}={getattr(config, name)!r}"
        for name in dict.fromkeys(names)
        if getattr(config, name) != defaults[name]
    )
