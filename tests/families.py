"""One tiny model for each option of the later families: options of `ViT`.

They go on top of the variant "test": 32 pixels in patches of 8, two blocks of width 32
with two heads, an MLP of 64.
"""

from __future__ import annotations

from typing import Any

FAMILIES: dict[str, dict[str, Any]] = {
    "registers": {"num_registers": 2, "positions": "class", "layer_scale": 0.5},
    "positions of patches": {"positions": "patches", "use_head_bias": False},
    "distilled": {"use_distillation_token": True},
    "distilled backbone": {"use_distillation_token": True, "num_classes": None},
    "sincos": {"positions": "sincos", "pooling": "mean", "image_size": (32, 24)},
    "rms": {
        "normalization": "rms",
        "use_patch_norm": True,
        "positions": "sincos_open",
        "pooling": "mean",
        "mlp": "gated",
        "activation": "silu",
        "qkv_bias": False,
        "use_output_bias": False,
        "use_mlp_bias": False,
    },
    "axial": {
        "rotary": "axial",
        "rotary_grid": (16, 16),
        "qkv_bias": "qv",
        "use_context_norm": True,
        "mlp": "gated",
        "activation": "silu",
        "use_mlp_norm": True,
        "image_size": (32, 24),
        "final_norm": "after_pooling",
        "pooling": "mean",
        "use_class_token": True,
    },
    "axial from the left": {
        "rotary": "axial",
        "rotary_order": "xy",
        "rotary_offset": 1.0,
        "rotary_layout": "half",
        "use_pre_norm": True,
        "use_patch_bias": False,
        "use_class_token": True,
        "pooling": "attention",
        "pool_prefix": True,
        "pooling_num_heads": 4,
        "pooling_mlp_dim": 48,
    },
    "class rotation": {
        "rotary": "axial",
        "rotary_layout": "half",
        "use_class_rotation": True,
        "positions": None,
        "num_registers": 1,
    },
    "centred": {
        "rotary": "centred",
        "rotary_temperature": 100.0,
        "positions": None,
        "num_registers": 3,
        "use_class_token": True,
        "pooling": "mean",
        "layer_scale": 0.5,
        "qkv_bias": False,
    },
    "mixed": {"rotary": "mixed", "rotary_temperature": 10.0, "query_key_norm": "head"},
    "grouped": {
        "num_heads": 4,
        "num_kv_heads": (2, 1),
        "normalization": "rms",
        "query_key_norm": "width",
        "rotary": "centred",
        "mlp": "gated",
        "layer_scale": 0.5,
        "use_mlp_layer_scale": False,
    },
    "post-norm": {"block": "post_norm", "pooling": "mean", "final_norm": None},
    "parallel": {"block": "parallel", "query_key_norm": "head", "layer_scale": 0.5},
    "parallel, joint": {
        "block": "parallel_joint",
        "attention": "differential",
        "qkv_bias": False,
    },
    "twin": {"block": "twin", "layer_scale": 0.5, "mlp": "gated"},
    "differential": {"attention": "differential", "use_output_bias": False},
    "attention pooling": {"pooling": "attention", "representation_size": 16},
    "query": {"pooling": "query", "qkv_bias": False, "pooling_num_heads": 4},
    "query with bias": {
        "pooling": "query",
        "use_class_token": True,
        "num_registers": 2,
        "pool_prefix": True,
    },
    "token and mean": {"pooling": "token_mean", "final_norm": "after_pooling"},
    "tokens of two blocks": {
        "pooling": "token_mean",
        "num_pooled_blocks": 2,
        "num_registers": 1,
    },
    "tokens of two blocks alone": {"num_pooled_blocks": 2, "representation_size": 8},
    "prefix": {"pooling": "prefix", "use_class_token": True, "num_registers": 3},
    "rejecting": {"num_classes": 4, "rejection_dim": 5, "pooling": "mean"},
    "rejecting, of a representation": {
        "num_classes": 4,
        "rejection_dim": 3,
        "representation_size": 8,
        "classifier_activation": "softmax",
    },
}
