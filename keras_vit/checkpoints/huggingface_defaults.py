"""What a key of `config.json` means if it is left out, per type: transformers 5.23."""

from __future__ import annotations

from typing import Any

BASE: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
    "num_channels": 3,
    "hidden_act": "gelu",
}
VIT = {
    **BASE,
    "layer_norm_eps": 1e-12,
    "qkv_bias": True,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# Their width of the MLP follows from a ratio.
RATIO = {key: value for key, value in VIT.items() if key != "intermediate_size"}
RATIO |= {"layer_norm_eps": 1e-6, "mlp_ratio": 4, "drop_path_rate": 0.0}
DINOV2 = {**RATIO, "layerscale_value": 1.0, "use_swiglu_ffn": False}
DINOV3 = {
    **BASE,
    "hidden_size": 384,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "layer_norm_eps": 1e-5,
    "layerscale_value": 1.0,
    "num_register_tokens": 0,
    "rope_theta": 100.0,
    "use_gated_mlp": False,
    "query_bias": True,
    "key_bias": False,
    "value_bias": True,
    "proj_bias": True,
    "mlp_bias": True,
    "attention_dropout": 0.0,
    "drop_path_rate": 0.0,
}
CLIP = {
    **BASE,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
}
SIGLIP = {
    **BASE,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "attention_dropout": 0.0,
    "vision_use_head": True,
}
AIMV2 = {
    **BASE,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 8,
    "intermediate_size": 2816,
    "patch_size": 14,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "qkv_bias": False,
    "mlp_bias": False,
    "attention_dropout": 0.0,
    "use_head": True,
    "is_native": False,
}
INTERNVL = {
    **BASE,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "image_size": (448, 448),
    "patch_size": (14, 14),
    "layer_norm_eps": 1e-6,
    "attention_bias": False,
    "layer_scale_init_value": 0.1,
    "hidden_dropout_prob": 0.0,
    "attention_dropout": 0.0,
    "norm_type": "layer_norm",
    "use_qk_norm": False,
    "use_mean_pooling": True,
    "use_absolute_position_embeddings": True,
}
BLIP = {
    **BASE,
    "image_size": 384,
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
}
BLIP2 = {
    **BASE,
    "hidden_size": 1408,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "intermediate_size": 6144,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "attention_dropout": 0.0,
}
PIXIO = {
    **RATIO,
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 256,
    "n_cls_tokens": 8,
}
MLCD = {
    **BASE,
    "hidden_size": 1664,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "intermediate_size": 8192,
    "image_size": 336,
    "patch_size": 14,
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
    "rope_parameters": {"rope_type": "axial", "rope_theta": 10000.0},
}
TIPSV2 = {
    **DINOV2,
    "image_size": 448,
    "patch_size": 14,
    "num_register_tokens": 1,
}
SAPIENS2 = {
    **BASE,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "layerscale_value": 1.0,
    "num_register_tokens": 8,
    "rope_theta": 100.0,
    "use_gated_mlp": True,
    "use_qk_norm": True,
    "query_bias": True,
    "key_bias": True,
    "value_bias": True,
    "proj_bias": True,
    "mlp_bias": True,
    "attention_dropout": 0.0,
    "drop_path_rate": 0.0,
    "num_key_value_attention_heads": 8,
    "num_first_full_attention_layers": 8,
    "num_last_full_attention_layers": 8,
    "num_key_value_heads_per_layer": None,
}
RADIO = {
    **RATIO,
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "layerscale_value": 1.0,
    "use_swiglu_ffn": False,
    "max_img_size": 2048,
    "num_cls_tokens": 3,
    "num_registers": 7,
}
