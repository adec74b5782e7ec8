"""How many parameters and multiply-accumulates a config has, without building it."""

from __future__ import annotations

from typing import Any, TypeAlias

ViTConfig: TypeAlias = Any  # Its module imports this one.


def count_parameters(config: ViTConfig) -> int:
    """Return the number of trainable parameters."""
    dim, norm = config.hidden_dim, _norm(config, config.hidden_dim)
    total = (config.patch_dim + config.use_patch_bias) * dim
    total += norm * config.use_patch_norm
    total += (config.num_prefix_tokens + config.num_position_rows) * dim
    total += norm * config.use_pre_norm
    total += config.head_dim // 2 * config.use_class_rotation
    for block in range(config.num_layers):
        total += _block_parameters(config, block)
    if config.final_norm == "before_pooling":
        total += norm
    elif config.final_norm == "after_pooling":
        total += _norm(config, config.pooled_dim)
    return total + _pooling_parameters(config) + _head_parameters(config)


def _norm(config: ViTConfig, width: int) -> int:
    return width * (2 if config.normalization.startswith("layer") else 1)


def _block_parameters(config: ViTConfig, block: int) -> int:
    dim = config.hidden_dim
    total = _attention_parameters(config, block) + _mlp_parameters(config)
    if config.layer_scale is not None:
        has_two = config.use_mlp_layer_scale and not config.is_parallel
        total += dim * (2 if has_two else 1)
    total += _norm(config, dim) * (1 if config.is_parallel else 2)
    return total * (2 if config.block == "twin" else 1)


def _attention_parameters(config: ViTConfig, block: int) -> int:
    dim = config.hidden_dim
    kv = 2 * config.head_dim * config.block_kv_heads(block)
    total = dim * (dim + kv) + dim * dim
    total += {True: dim + kv, False: 0, "qv": 2 * dim}[config.qkv_bias]
    total += dim * (config.use_output_bias or config.is_parallel)
    if config.query_key_norm == "head":
        total += 2 * _norm(config, config.head_dim)
    elif config.query_key_norm == "width":
        total += _norm(config, dim + kv // 2)
    total += _norm(config, dim) * config.use_context_norm
    if config.attention == "differential":
        total += 4 * (config.head_dim // 2) + config.head_dim
    if config.rotary == "mixed":
        total += config.num_heads * config.head_dim
    return total


def _mlp_parameters(config: ViTConfig) -> int:
    dim, width = config.hidden_dim, config.mlp_dim
    gates = 2 if config.mlp == "gated" else 1
    total = (gates + 1) * dim * width
    if config.is_parallel:
        total += width + dim * (config.block != "parallel_joint")
    else:
        total += (gates * width + dim) * config.use_mlp_bias
    return total + _norm(config, width) * config.use_mlp_norm


def _pooling_parameters(config: ViTConfig) -> int:
    if config.pooling not in ("attention", "query"):
        return 0
    if config.pooling == "query":
        dim = config.hidden_dim
        return dim + 3 * dim * dim + 2 * dim * (config.qkv_bias is True) + dim
    dim, width = config.hidden_dim, config.pooling_mlp_dim or config.mlp_dim
    attention = dim + 4 * (dim * dim + dim)
    return attention + _norm(config, dim) + 2 * dim * width + width + dim


def _head_parameters(config: ViTConfig) -> int:
    total = (config.pooled_dim + 1) * (config.representation_size or 0)
    if config.num_classes:
        head = (config.num_features + config.use_head_bias) * config.num_known_classes
        total += head * (2 if config.use_distillation_token else 1)
    return total


def count_macs(config: ViTConfig) -> int:
    """Return the multiply-accumulates of the matrix products for one image."""
    dim = config.hidden_dim
    total = config.num_patches * config.patch_dim * dim
    for block in range(config.num_layers):
        total += _block_macs(config, block)
    if config.pooling in ("attention", "query"):
        seen = config.num_tokens if config.pool_prefix else config.num_patches
        total += 2 * seen * dim * dim + 2 * seen * dim + dim * dim
    if config.pooling == "attention":
        width = config.pooling_mlp_dim or config.mlp_dim
        total += dim * dim + 2 * dim * width
    total += config.pooled_dim * (config.representation_size or 0)
    heads = 2 if config.use_distillation_token else 1
    known = config.num_known_classes or 0
    total += (config.rejection_dim or 0) * (config.num_features + known)
    return total + heads * config.num_features * known


def _block_macs(config: ViTConfig, block: int) -> int:
    dim, tokens = config.hidden_dim, config.num_tokens
    kv = 2 * config.head_dim * config.block_kv_heads(block)
    matrices = 3 if config.mlp == "gated" else 2
    total = tokens * (dim * (2 * dim + kv) + matrices * dim * config.mlp_dim)
    # Scores and sums of values; differential attention sums the values twice.
    products = 3 if config.attention == "differential" else 2
    total += products * tokens * tokens * dim
    return total * (2 if config.block == "twin" else 1)
