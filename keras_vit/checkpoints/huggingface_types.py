"""The model types of transformers that are plain ViTs, as one table.

Each row says what a `config.json` of that type means, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from keras_vit.checkpoints import huggingface as names
from keras_vit.checkpoints.huggingface import Naming
from keras_vit.config import ViTConfig

Head = Literal["none", "pooler", "classifier", "teacher", "projection"]
Values = Mapping[str, Any]

# What a key of config.json is called here; keys of other meaning are in `special`.
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


@dataclass(frozen=True)
class Task:
    """What a class of transformers puts on a tower.

    Args:
        architecture: the class; None if there is one only around text and image.
        options: fields of `ViTConfig` that follow.
        prefix: before the names of the tower when it is written.
        block_prefix: before those of its blocks. Default None: the same.
        keys: what `config.json` says beside the sizes when it is written.
        ignored: beginnings of names under the prefix that are not used.
    """

    architecture: str | None
    options: Values
    prefix: str = ""
    block_prefix: str | None = None
    keys: Values = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelType:
    """One model type.

    Args:
        namings: of the arrays; the first is the one that is written.
        defaults: of the keys of its `config.json`.
        heads: what may be on the tower.
        options: fields of `ViTConfig` that all of this type have.
        read: from the keys to further fields.
        write: back.
        is_square: whether transformers computes with square images alone.
        wrapper: the type that nests the config for a classifier.
        interpolation: how transformers resamples positions.
        antialias: whether its kernel grows when they shrink.
    """

    namings: tuple[Naming, ...]
    defaults: Values
    heads: Mapping[Head, Task]
    options: Values = field(default_factory=dict)
    read: Callable[[Values], dict[str, Any]] = lambda values: {}
    write: Callable[[ViTConfig], dict[str, Any]] = lambda config: {}
    is_square: bool = False
    wrapper: str = ""
    interpolation: str = "bicubic"
    antialias: bool = False


# --- Defaults of transformers 5.23, for keys that a config.json leaves out ----------
_BASE: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
    "num_channels": 3,
    "hidden_act": "gelu",
}
_VIT = {
    **_BASE,
    "layer_norm_eps": 1e-12,
    "qkv_bias": True,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# Their width of the MLP follows from a ratio.
_RATIO = {key: value for key, value in _VIT.items() if key != "intermediate_size"}
_RATIO |= {"layer_norm_eps": 1e-6, "mlp_ratio": 4, "drop_path_rate": 0.0}
_DINOV2 = {**_RATIO, "layerscale_value": 1.0, "use_swiglu_ffn": False}
_DINOV3 = {
    **_BASE,
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
_CLIP = {
    **_BASE,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
}
_SIGLIP = {
    **_BASE,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "attention_dropout": 0.0,
    "vision_use_head": True,
}
_AIMV2 = {
    **_BASE,
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
_INTERNVL = {
    **_BASE,
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
_BLIP = {
    **_BASE,
    "image_size": 384,
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
}
_BLIP2 = {
    **_BASE,
    "hidden_size": 1408,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "intermediate_size": 6144,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "attention_dropout": 0.0,
}
_PIXIO = {
    **_RATIO,
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 256,
    "n_cls_tokens": 8,
}


# --- Keys that mean something else than one field -----------------------------------
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
    widths = {
        ratio: _swiglu_width(dim * ratio) if is_gated else dim * ratio
        for ratio in range(1, 17)
    }
    # transformers takes whole ratios; reading tells if none is right.
    fitting = [r for r, width in widths.items() if width == config.mlp_dim]
    return {"mlp_ratio": fitting[0] if fitting else 4}


def _write_dinov2(config: ViTConfig) -> dict[str, Any]:
    is_gated = config.mlp == "gated"
    keys = {**_write_ratio(config), "use_swiglu_ffn": is_gated}
    # Its gate is always SiLU; the key has no effect then.
    return {**keys, "hidden_act": "gelu"} if is_gated else keys


_QKV_BIAS: dict[tuple[bool, ...], bool | str] = {
    (True, True, True): True,
    (True, False, True): "qv",
    (False, False, False): False,
}


def _read_dinov3(values: Values) -> dict[str, Any]:
    flags = tuple(bool(values[f"{part}_bias"]) for part in ("query", "key", "value"))
    if flags not in _QKV_BIAS:
        raise ValueError(
            "keras_vit has a bias for queries, keys and values, for queries and values "
            f"or for none, received query_bias, key_bias, value_bias = {flags}."
        )
    mlp = "gated" if values["use_gated_mlp"] else "plain"
    return {"qkv_bias": _QKV_BIAS[flags], "mlp": mlp}


def _write_dinov3(config: ViTConfig) -> dict[str, Any]:
    flags = next(f for f, bias in _QKV_BIAS.items() if bias == config.qkv_bias)
    keys = zip(("query_bias", "key_bias", "value_bias"), flags, strict=True)
    return {**dict(keys), "use_gated_mlp": config.mlp == "gated"}


def _read_siglip(values: Values) -> dict[str, Any]:
    return {"pooling": "attention" if values["vision_use_head"] else "mean"}


def _write_siglip(config: ViTConfig) -> dict[str, Any]:
    return {"vision_use_head": config.pooling == "attention"}


def _read_siglip2(values: Values) -> dict[str, Any]:
    # The table of positions is a square, which is the size without resampling.
    side = int(values["num_patches"] ** 0.5) * values["patch_size"]
    return {**_read_siglip(values), "image_size": (side, side)}


def _write_siglip2(config: ViTConfig) -> dict[str, Any]:
    return {**_write_siglip(config), "num_patches": config.num_patches}


def _read_aimv2(values: Values) -> dict[str, Any]:
    if values["use_head"]:
        raise ValueError(
            "keras_vit has no attention pooling without a layer for the query, which "
            "AIMv2 has with use_head=true. Save its tower with use_head=False."
        )
    positions = "sincos_open" if values["is_native"] else "all"
    return {"positions": positions, "use_output_bias": values["qkv_bias"]}


def _write_aimv2(config: ViTConfig) -> dict[str, Any]:
    is_native = config.positions == "sincos_open"
    return {"use_head": False, "is_native": is_native}


def _read_internvl(values: Values) -> dict[str, Any]:
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


def _write_internvl(config: ViTConfig) -> dict[str, Any]:
    kinds = {"layer": "layer_norm", "rms": "rms_norm"}
    return {
        "norm_type": kinds[config.normalization],
        "use_qk_norm": config.query_key_norm is not None,
        "use_mean_pooling": config.pooling == "mean",
        "use_absolute_position_embeddings": config.positions is not None,
    }


# --- The table ----------------------------------------------------------------------
_TOKEN = {"pooling": "token"}
_MEAN = {"pooling": "mean", "use_class_token": False}
_POOLER = ("pooler.",)


def _vit_heads(name: str, prefix: str) -> dict[Head, Task]:
    return {
        "none": Task(f"{name}Model", _TOKEN),
        "pooler": Task(f"{name}Model", _TOKEN),
        "classifier": Task(
            f"{name}ForImageClassification", _TOKEN, prefix, ignored=_POOLER
        ),
    }


def _deit_heads() -> dict[Head, Task]:
    # The distillation token is in the sequence; only the teacher's head reads it.
    token = {**_TOKEN, "num_registers": 1}
    heads: dict[Head, Task] = {
        head: Task(task.architecture, token, task.prefix, ignored=task.ignored)
        for head, task in _vit_heads("DeiT", "deit.").items()
    }
    heads["teacher"] = Task(
        "DeiTForImageClassificationWithTeacher",
        {**_TOKEN, "use_distillation_token": True},
        "deit.",
        ignored=_POOLER,
    )
    return heads


def _dinov2_heads(name: str, prefix: str) -> dict[Head, Task]:
    both = {"pooling": "token_mean"}
    return {
        "none": Task(f"{name}Model", _TOKEN),
        "classifier": Task(f"{name}ForImageClassification", both, prefix),
    }


def _clip_heads(name: str, *, written: bool = True) -> dict[Head, Task]:
    tower = "vision_model."
    heads: dict[Head, Task] = {
        "none": Task(f"{name}VisionModel", _TOKEN),
        "projection": Task(
            f"{name}VisionModelWithProjection" if written else None,
            {**_TOKEN, "use_head_bias": False},
            tower,
        ),
    }
    if written:  # Its classifier averages patches that no norm has seen.
        mean = {"pooling": "mean", "use_class_token": True, "final_norm": None}
        heads["classifier"] = Task(
            f"{name}ForImageClassification", mean, tower, ignored=("post_layernorm.",)
        )
    return heads


def _clip(name: str, *, written: bool = True, wrapper: str = "") -> ModelType:
    return ModelType(
        namings=(names.CLIP, names.ALTCLIP),
        defaults=_CLIP,
        heads=_clip_heads(name, written=written),
        options={"use_pre_norm": True, "use_patch_bias": False},
        is_square=True,
        wrapper=wrapper,
    )


def _siglip_heads(name: str) -> dict[Head, Task]:
    return {
        "none": Task(f"{name}VisionModel", {"use_class_token": False}),
        "classifier": Task(
            f"{name}ForImageClassification",
            _MEAN,
            "vision_model.",
            keys={"vision_use_head": False},
            ignored=("head.",),
        ),
    }


_DINOV2_NAMES = (names.DINOV2, names.DINOV2_RENAMED)
_VIT_NAMES = (names.VIT, names.VIT_RENAMED)
_MSN_CLASSIFIER = Task("ViTMSNForImageClassification", _TOKEN, "vit.", "")

MODEL_TYPES: dict[str, ModelType] = {
    "vit": ModelType(
        namings=_VIT_NAMES, defaults=_VIT, heads=_vit_heads("ViT", "vit.")
    ),
    "deit": ModelType(
        namings=(names.DEIT, names.DEIT_RENAMED), defaults=_VIT, heads=_deit_heads()
    ),
    "dinov2": ModelType(
        namings=_DINOV2_NAMES,
        defaults=_DINOV2 | {"patch_size": 14},
        heads=_dinov2_heads("Dinov2", "dinov2."),
        read=_read_ratio,
        write=lambda config: {**_write_dinov2(config), "use_mask_token": False},
        is_square=True,
    ),
    "dinov2_with_registers": ModelType(
        namings=_DINOV2_NAMES,
        defaults=_DINOV2 | {"num_register_tokens": 4},
        heads=_dinov2_heads("Dinov2WithRegisters", "dinov2_with_registers."),
        options={"positions": "class"},
        read=_read_ratio,
        write=_write_dinov2,
        is_square=True,
        antialias=True,
    ),
    "dinov3_vit": ModelType(
        namings=(names.DINOV3,),
        defaults=_DINOV3,
        heads={"none": Task("DINOv3ViTModel", _TOKEN)},
        options={"positions": None, "rotary": "centred"},
        read=_read_dinov3,
        write=_write_dinov3,
    ),
    "ijepa": ModelType(
        namings=_VIT_NAMES,
        defaults=_VIT,
        heads={
            "none": Task("IJepaModel", _MEAN),
            "classifier": Task("IJepaForImageClassification", _MEAN, "ijepa."),
        },
    ),
    "vit_msn": ModelType(
        namings=_VIT_NAMES,
        defaults=_VIT | {"layer_norm_eps": 1e-6},
        # transformers 5 writes the blocks of this class without the prefix.
        heads={"none": Task("ViTMSNModel", _TOKEN), "classifier": _MSN_CLASSIFIER},
    ),
    "vit_mae": ModelType(
        namings=_VIT_NAMES, defaults=_VIT, heads={"none": Task("ViTMAEModel", _TOKEN)}
    ),
    "clip_vision_model": _clip("CLIP", wrapper="clip"),
    "metaclip_2_vision_model": _clip("MetaClip2", wrapper="metaclip_2"),
    "chinese_clip_vision_model": _clip("ChineseCLIP", written=False),
    "altclip_vision_model": _clip("AltCLIP", written=False),
    "clipseg_vision_model": _clip("CLIPSeg", written=False),
    "siglip_vision_model": ModelType(
        namings=(names.CLIP,),
        defaults=_SIGLIP,
        heads=_siglip_heads("Siglip"),
        read=_read_siglip,
        write=_write_siglip,
        is_square=True,
        wrapper="siglip",
    ),
    "siglip2_vision_model": ModelType(
        namings=(names.SIGLIP2,),
        defaults={k: v for k, v in _SIGLIP.items() if k != "image_size"}
        | {"num_patches": 256},
        heads=_siglip_heads("Siglip2"),
        read=_read_siglip2,
        write=_write_siglip2,
        is_square=True,
        wrapper="siglip2",
        interpolation="bilinear",
        antialias=True,
    ),
    "aimv2_vision_model": ModelType(
        namings=(names.AIMV2,),
        defaults=_AIMV2,
        heads={"none": Task("Aimv2VisionModel", _MEAN)},
        options={"normalization": "rms", "use_patch_norm": True, "mlp": "gated"},
        read=_read_aimv2,
        write=_write_aimv2,
        is_square=True,
    ),
    "internvl_vision": ModelType(
        namings=(names.INTERNVL,),
        defaults=_INTERNVL,
        heads={"none": Task("InternVLVisionModel", {"use_class_token": True})},
        read=_read_internvl,
        write=_write_internvl,
        is_square=True,
    ),
    # transformers normalizes BLIP's pooled token twice; the authors, as here, once.
    "blip_vision_model": ModelType(
        namings=(names.BLIP,),
        defaults=_BLIP,
        heads={"none": Task("BlipVisionModel", _TOKEN)},
        is_square=True,
    ),
    "blip_2_vision_model": ModelType(
        namings=(names.BLIP,),
        defaults=_BLIP2,
        heads={"none": Task("Blip2VisionModel", _TOKEN)},
        is_square=True,
    ),
    "instructblip_vision_model": ModelType(
        namings=(names.BLIP,),
        defaults=_BLIP2,
        heads={"none": Task("InstructBlipVisionModel", _TOKEN)},
        is_square=True,
    ),
    "pixio": ModelType(
        namings=(names.PIXIO, names.PIXIO_RENAMED),
        defaults=_PIXIO,
        heads={
            "none": Task("PixioModel", {"pooling": "prefix", "use_class_token": False})
        },
        read=_read_ratio,
        write=_write_ratio,
        is_square=True,
    ),
}
# Types whose config.json holds that of a tower as "vision_config".
NESTED = {
    "clip": "clip_vision_model",
    "metaclip_2": "metaclip_2_vision_model",
    "chinese_clip": "chinese_clip_vision_model",
    "altclip": "altclip_vision_model",
    "clipseg": "clipseg_vision_model",
    "siglip": "siglip_vision_model",
    "siglip2": "siglip2_vision_model",
    "aimv2": "aimv2_vision_model",
    "internvl": "internvl_vision",
    "blip": "blip_vision_model",
    "blip-2": "blip_2_vision_model",
    "instructblip": "instructblip_vision_model",
}
SUPPORTED = (*MODEL_TYPES, *NESTED)
