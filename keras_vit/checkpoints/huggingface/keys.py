"""What the keys of a `config.json` of transformers mean, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keras_vit.checkpoints.files.json import read_table
from keras_vit.config import ViTConfig

Values = Mapping[str, Any]


def default_keys() -> dict[str, dict[str, Any]]:
    """Return what each key of a model type means if it is left out.

    Reference: the configurations of transformers 5.23, with which a test compares.
    """
    return read_table("huggingface/defaults.json")


# What a key is called here, where its value is the same.
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
# What a key is called here, and what its values mean. The last value is also written
# for what a type cannot express, which is told when it is read again.
CHOICES: dict[str, tuple[str, dict[Any, Any]]] = {
    "use_gated_mlp": ("mlp", {True: "gated", False: "plain"}),
    "vision_use_head": ("pooling", {True: "attention", False: "mean"}),
    "use_head": ("pooling", {True: "query", False: "mean"}),
    "use_mean_pooling": ("pooling", {True: "mean", False: "token"}),
    "is_native": ("positions", {True: "sincos_open", False: "all"}),
    "use_absolute_position_embeddings": ("positions", {False: None, True: "all"}),
    "norm_type": ("normalization", {"rms_norm": "rms", "layer_norm": "layer"}),
}


def read_keys(values: Values) -> dict[str, Any]:
    """Return the fields of those keys that mean something on their own."""
    fields = {FIELDS[key]: value for key, value in values.items() if key in FIELDS}
    for key in (key for key in values if key in CHOICES):
        field, meanings = CHOICES[key]
        value = values[key]
        if isinstance(value, (list, dict)) or value not in meanings:
            raise ValueError(
                f"{key} must be one of {[*meanings]}, received {key}={value!r}, which "
                "keras_vit does not build. Load the model with transformers."
            )
        fields[field] = meanings[value]
    return fields


def write_keys(config: ViTConfig, defaults: Values) -> dict[str, Any]:
    """Return those of the keys of `defaults` that mean something on their own."""
    keys = {key: getattr(config, FIELDS[key]) for key in defaults if key in FIELDS}
    keys = {key: defaults[key] if v is None else v for key, v in keys.items()}
    for key in (key for key in defaults if key in CHOICES):
        field, meanings = CHOICES[key]
        fitting = [
            k for k, meant in meanings.items() if meant == getattr(config, field)
        ]
        keys[key] = [*meanings, *fitting][-1]
    return keys


@dataclass(frozen=True)
class FurtherKeys:
    """What keys of a model type mean that are not read and written one by one.

    Args:
        read: from the keys to fields of `ViTConfig`.
        write: back.
    """

    read: Callable[[Values], dict[str, Any]] = lambda values: {}
    write: Callable[[ViTConfig], dict[str, Any]] = lambda config: {}


def _swiglu_width(width: int) -> int:
    """Return the width of a gated MLP: two thirds, up to a multiple of 8."""
    return (int(width * 2 / 3) + 7) // 8 * 8


def _read_ratio(values: Values) -> dict[str, Any]:
    width = int(values["hidden_size"] * values["mlp_ratio"])
    if not values.get("use_swiglu_ffn"):
        return {"mlp_dim": width}
    return {"mlp_dim": _swiglu_width(width), "mlp": "gated", "activation": "silu"}


def _write_ratio(config: ViTConfig) -> dict[str, Any]:
    is_gated, dim = config.mlp == "gated", config.hidden_dim
    # transformers takes whole ratios; reading tells if none is right.
    for ratio in range(1, 17):
        width = _swiglu_width(dim * ratio) if is_gated else dim * ratio
        if width == config.mlp_dim:
            return {"mlp_ratio": ratio}
    return {"mlp_ratio": 4}


def _write_swiglu(config: ViTConfig) -> dict[str, Any]:
    is_gated = config.mlp == "gated"
    keys = {**_write_ratio(config), "use_swiglu_ffn": is_gated}
    # Its gate is always SiLU; the key has no effect then.
    return {**keys, "hidden_act": "gelu"} if is_gated else keys


RATIO = FurtherKeys(_read_ratio, _write_ratio)
SWIGLU = FurtherKeys(_read_ratio, _write_swiglu)
DINOV2 = FurtherKeys(
    _read_ratio, lambda config: {**_write_swiglu(config), "use_mask_token": False}
)

_QKV_BIAS: dict[tuple[bool, ...], bool | str] = {
    (True, True, True): True,
    (True, False, True): "qv",
    (False, False, False): False,
}


def _read_biases(values: Values) -> dict[str, Any]:
    flags = tuple(bool(values[f"{part}_bias"]) for part in ("query", "key", "value"))
    if flags not in _QKV_BIAS:
        raise ValueError(
            "keras_vit has a bias for queries, keys and values, for queries and values "
            f"or for none, received query_bias, key_bias, value_bias = {flags}."
        )
    return {"qkv_bias": _QKV_BIAS[flags]}


def _write_biases(config: ViTConfig) -> dict[str, Any]:
    flags = next(f for f, bias in _QKV_BIAS.items() if bias == config.qkv_bias)
    keys = ("query_bias", "key_bias", "value_bias")
    return dict(zip(keys, flags, strict=True))


DINOV3 = FurtherKeys(_read_biases, _write_biases)


def _read_square(values: Values) -> dict[str, Any]:
    # The table of positions is a square, which is the size without resampling.
    side = int(values["num_patches"] ** 0.5)
    return {"image_size": tuple(side * patch for patch in values["patch_size"])}


SIGLIP2 = FurtherKeys(_read_square, lambda config: {"num_patches": config.num_patches})
AIMV2 = FurtherKeys(lambda values: {"use_output_bias": values["qkv_bias"]})


def _read_internvl(values: Values) -> dict[str, Any]:
    is_rms, epsilon = values["norm_type"] == "rms_norm", values["layer_norm_eps"]
    if values["use_qk_norm"] and (not is_rms or epsilon != 1e-6):
        raise ValueError(
            "keras_vit normalizes queries and keys as tokens, received use_qk_norm="
            f"true, which is RMS with 1e-6, and norm_type={values['norm_type']!r}, "
            f"layer_norm_eps={epsilon}."
        )
    if not values["use_mean_pooling"] and is_rms:
        raise ValueError(
            "keras_vit has one kind of normalization per model, received norm_type="
            "'rms_norm' and use_mean_pooling=false, whose last norm is LayerNorm."
        )
    return {
        "query_key_norm": "width" if values["use_qk_norm"] else None,
        "final_norm": None if values["use_mean_pooling"] else "before_pooling",
    }


INTERNVL = FurtherKeys(
    _read_internvl, lambda config: {"use_qk_norm": config.query_key_norm is not None}
)


def _read_rotation(values: Values) -> dict[str, Any]:
    rope = values["rope_parameters"]
    if rope.get("rope_type", "axial") != "axial":
        raise ValueError(
            "MLCD rotates queries and keys by row and column, received rope_type="
            f"{rope['rope_type']!r}. Load the model with transformers."
        )
    return {"rotary_temperature": float(rope.get("rope_theta", 10000.0))}


def _write_rotation(config: ViTConfig) -> dict[str, Any]:
    theta = config.rotary_temperature
    return {"rope_parameters": {"rope_type": "axial", "rope_theta": theta}}


MLCD = FurtherKeys(_read_rotation, _write_rotation)


def _read_sapiens2(values: Values) -> dict[str, Any]:
    layers, heads = values["num_hidden_layers"], values["num_attention_heads"]
    kv_heads = values["num_key_value_heads_per_layer"]
    if kv_heads is None:
        first = values["num_first_full_attention_layers"]
        last = layers - values["num_last_full_attention_layers"]
        grouped = values["num_key_value_attention_heads"]
        kv_heads = [heads if i < first or i >= last else grouped for i in range(layers)]
    is_grouped = any(count != heads for count in kv_heads)
    return {
        **_read_biases(values),
        "query_key_norm": "head" if values["use_qk_norm"] else None,
        "num_kv_heads": tuple(kv_heads) if is_grouped else None,
    }


def _write_sapiens2(config: ViTConfig) -> dict[str, Any]:
    heads = [config.block_kv_heads(i) for i in range(config.num_layers)]
    return {
        **_write_biases(config),
        "use_qk_norm": config.query_key_norm == "head",
        "num_key_value_heads_per_layer": heads,
    }


SAPIENS2 = FurtherKeys(_read_sapiens2, _write_sapiens2)


def _read_radio(values: Values) -> dict[str, Any]:
    side = values["max_img_size"]
    # The first class token is one here, those of further teachers are registers.
    registers = values["num_cls_tokens"] - 1 + values["num_registers"]
    sizes = {"image_size": (side, side), "num_registers": registers}
    return {**_read_ratio(values), **sizes}


def _write_radio(config: ViTConfig) -> dict[str, Any]:
    written = _write_swiglu(config)
    return {
        **written,
        "mlp_ratio": float(written["mlp_ratio"]),
        "max_img_size": config.table_grid[0] * config.patch_size[0],
        "num_cls_tokens": 1,
        "num_registers": config.num_registers,
        "summary_idxs": [0],
        # Its images are normalized before the model.
        "norm_mean": [0.0] * config.channels,
        "norm_std": [1.0] * config.channels,
    }


RADIO = FurtherKeys(_read_radio, _write_radio)
