"""What the keys of a `config.json` of transformers mean, in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_vit.config import ViTConfig

Values = Mapping[str, Any]

# What a key of config.json is called here; the functions below read the others.
FIELDS = {
    "hidden_size": "hidden_dim",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "intermediate_size": "mlp_dim",
    "image_size": "image_size",
    "patch_size": "patch_size",
    "num_channels": "channels",
    "hidden_act": "activation",
    "layer_norm_eps": "epsilon",
    "rms_norm_eps": "epsilon",
    "qkv_bias": "qkv_bias",
    "attention_bias": "qkv_bias",
    "proj_bias": "use_output_bias",
    "mlp_bias": "use_mlp_bias",
    "layerscale_value": "layer_scale",
    "layer_scale_init_value": "layer_scale",
    "num_register_tokens": "num_registers",
    "n_cls_tokens": "num_registers",
    "rope_theta": "rotary_temperature",
    "hidden_dropout_prob": "dropout_rate",
    "attention_probs_dropout_prob": "attention_dropout_rate",
    "attention_dropout": "attention_dropout_rate",
    "drop_path_rate": "stochastic_depth_rate",
}


def _swiglu_width(width: int) -> int:
    """Return the width of a gated MLP: two thirds, up to a multiple of 8."""
    return (int(width * 2 / 3) + 7) // 8 * 8


def read_ratio(values: Values) -> dict[str, Any]:
    """Return the fields for the width of the MLP and its kind."""
    width = int(values["hidden_size"] * values["mlp_ratio"])
    if not values.get("use_swiglu_ffn"):
        return {"mlp_dim": width}
    return {"mlp_dim": _swiglu_width(width), "mlp": "gated", "activation": "silu"}


def write_ratio(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for the width of the MLP and its kind."""
    is_gated, dim = config.mlp == "gated", config.hidden_dim
    widths = {
        ratio: _swiglu_width(dim * ratio) if is_gated else dim * ratio
        for ratio in range(1, 17)
    }
    # transformers takes whole ratios; reading tells if none is right.
    fitting = [r for r, width in widths.items() if width == config.mlp_dim]
    return {"mlp_ratio": fitting[0] if fitting else 4}


def write_dinov2(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for the width of the MLP and its kind."""
    is_gated = config.mlp == "gated"
    keys = {**write_ratio(config), "use_swiglu_ffn": is_gated}
    # Its gate is always SiLU; the key has no effect then.
    return {**keys, "hidden_act": "gelu"} if is_gated else keys


_QKV_BIAS: dict[tuple[bool, ...], bool | str] = {
    (True, True, True): True,
    (True, False, True): "qv",
    (False, False, False): False,
}


def read_dinov3(values: Values) -> dict[str, Any]:
    """Return the fields for biases and the kind of MLP."""
    flags = tuple(bool(values[f"{part}_bias"]) for part in ("query", "key", "value"))
    if flags not in _QKV_BIAS:
        raise ValueError(
            "keras_vit has a bias for queries, keys and values, for queries and values "
            f"or for none, received query_bias, key_bias, value_bias = {flags}."
        )
    mlp = "gated" if values["use_gated_mlp"] else "plain"
    return {"qkv_bias": _QKV_BIAS[flags], "mlp": mlp}


def write_dinov3(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for biases and the kind of MLP."""
    flags = next(f for f, bias in _QKV_BIAS.items() if bias == config.qkv_bias)
    keys = zip(("query_bias", "key_bias", "value_bias"), flags, strict=True)
    return {**dict(keys), "use_gated_mlp": config.mlp == "gated"}


def read_siglip(values: Values) -> dict[str, Any]:
    """Return the fields for the pooling."""
    return {"pooling": "attention" if values["vision_use_head"] else "mean"}


def write_siglip(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for the pooling."""
    return {"vision_use_head": config.pooling == "attention"}


def read_siglip2(values: Values) -> dict[str, Any]:
    """Return the fields for the pooling and the size without resampling."""
    # The table of positions is a square, which is the size without resampling.
    side = int(values["num_patches"] ** 0.5) * values["patch_size"]
    return {**read_siglip(values), "image_size": (side, side)}


def write_siglip2(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for the pooling and the size without resampling."""
    return {**write_siglip(config), "num_patches": config.num_patches}


def read_aimv2(values: Values) -> dict[str, Any]:
    """Return the fields for positions, pooling and bias."""
    return {
        "positions": "sincos_open" if values["is_native"] else "all",
        "use_output_bias": values["qkv_bias"],
        "pooling": "query" if values["use_head"] else "mean",
    }


def write_aimv2(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for positions, pooling and bias."""
    return {
        "use_head": config.pooling == "query",
        "is_native": config.positions == "sincos_open",
    }


def read_internvl(values: Values) -> dict[str, Any]:
    """Return the fields for norms, positions and pooling."""
    norm = "rms" if values["norm_type"] == "rms_norm" else "layer"
    is_mean = values["use_mean_pooling"]
    epsilon = values["layer_norm_eps"]
    if values["use_qk_norm"] and (norm != "rms" or epsilon != 1e-6):
        raise ValueError(
            "keras_vit normalizes queries and keys as tokens, received use_qk_norm="
            f"true, which is RMS with 1e-6, and norm_type={values['norm_type']!r}, "
            f"layer_norm_eps={epsilon}."
        )
    if not is_mean and norm != "layer":
        raise ValueError(
            "keras_vit has one kind of normalization per model, received norm_type="
            "'rms_norm' and use_mean_pooling=false, whose last norm is LayerNorm."
        )
    has_positions = values["use_absolute_position_embeddings"]
    return {
        "normalization": norm,
        "query_key_norm": "width" if values["use_qk_norm"] else None,
        "positions": "all" if has_positions else None,
        "pooling": "mean" if is_mean else "token",
        "final_norm": None if is_mean else "before_pooling",
    }


def write_internvl(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for norms, positions and pooling."""
    kinds = {"layer": "layer_norm", "rms": "rms_norm"}
    return {
        "norm_type": kinds[config.normalization],
        "use_qk_norm": config.query_key_norm is not None,
        "use_mean_pooling": config.pooling == "mean",
        "use_absolute_position_embeddings": config.positions is not None,
    }


def read_mlcd(values: Values) -> dict[str, Any]:
    """Return the fields for the rotation."""
    rope = values["rope_parameters"]
    if rope.get("rope_type", "axial") != "axial":
        raise ValueError(
            "MLCD rotates queries and keys by row and column, received rope_type="
            f"{rope['rope_type']!r}. Load the model with transformers."
        )
    return {"rotary_temperature": float(rope.get("rope_theta", 10000.0))}


def write_mlcd(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for the rotation."""
    theta = config.rotary_temperature
    return {"rope_parameters": {"rope_type": "axial", "rope_theta": theta}}


def read_sapiens2(values: Values) -> dict[str, Any]:
    """Return the fields for biases, the kind of MLP and the heads of each block."""
    layers, heads = values["num_hidden_layers"], values["num_attention_heads"]
    kv_heads = values["num_key_value_heads_per_layer"]
    if kv_heads is None:
        first = values["num_first_full_attention_layers"]
        last = layers - values["num_last_full_attention_layers"]
        grouped = values["num_key_value_attention_heads"]
        kv_heads = [heads if i < first or i >= last else grouped for i in range(layers)]
    is_grouped = any(count != heads for count in kv_heads)
    return {
        **read_dinov3(values),
        "query_key_norm": "head" if values["use_qk_norm"] else None,
        "num_kv_heads": tuple(kv_heads) if is_grouped else None,
    }


def write_sapiens2(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for biases, the kind of MLP and the heads of each block."""
    heads = [config.block_kv_heads(i) for i in range(config.num_layers)]
    return {
        **write_dinov3(config),
        "use_qk_norm": config.query_key_norm == "head",
        "num_key_value_heads_per_layer": heads,
    }


def read_radio(values: Values) -> dict[str, Any]:
    """Return the fields for the tokens before the patches, MLP and positions."""
    side = values["max_img_size"]
    # The first class token is one here, those of further teachers are registers.
    registers = values["num_cls_tokens"] - 1 + values["num_registers"]
    sizes = {"image_size": (side, side), "num_registers": registers}
    return {**read_ratio(values), **sizes}


def write_radio(config: ViTConfig) -> dict[str, Any]:
    """Return the keys for the tokens before the patches, MLP and positions."""
    height = config.table_grid[0] * config.patch_size[0]
    written = write_dinov2(config)
    return {
        **written,
        "mlp_ratio": float(written["mlp_ratio"]),
        "max_img_size": height,
        "num_cls_tokens": 1,
        "num_registers": config.num_registers,
        "summary_idxs": [0],
        "norm_mean": [0.0] * config.channels,
        "norm_std": [1.0] * config.channels,
    }
