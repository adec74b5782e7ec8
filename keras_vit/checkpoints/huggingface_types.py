"""The model types of transformers that are plain ViTs, as one table.

Each row says what a `config.json` of that type means, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from keras_vit.checkpoints import huggingface_defaults as defaults
from keras_vit.checkpoints import huggingface_keys as keys
from keras_vit.checkpoints import huggingface_names as names
from keras_vit.checkpoints.huggingface_names import Naming
from keras_vit.config import ViTConfig

Head = Literal["none", "pooler", "classifier", "teacher", "projection"]
Values = keys.Values


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
        is_radio: whether positions and preprocessing are those of RADIO: for the
            largest image and cut at the top left, normalization by the model, layer
            scale only if the file has it.
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
    is_radio: bool = False


_TOKEN = {"pooling": "token"}
_MEAN = {"pooling": "mean", "use_class_token": False}
_POOLER = ("pooler.",)
_RADIO_IGNORED = (
    *("input_conditioner.", "summary_idxs", "embeddings.video_patch_projection."),
    "model.patch_generator.video_embedder.",
)


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
        defaults=defaults.CLIP,
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
        namings=_VIT_NAMES, defaults=defaults.VIT, heads=_vit_heads("ViT", "vit.")
    ),
    "deit": ModelType(
        namings=(names.DEIT, names.DEIT_RENAMED),
        defaults=defaults.VIT,
        heads=_deit_heads(),
    ),
    "dinov2": ModelType(
        namings=_DINOV2_NAMES,
        defaults=defaults.DINOV2 | {"patch_size": 14},
        heads=_dinov2_heads("Dinov2", "dinov2."),
        read=keys.read_ratio,
        write=lambda config: {**keys.write_dinov2(config), "use_mask_token": False},
        is_square=True,
    ),
    "dinov2_with_registers": ModelType(
        namings=_DINOV2_NAMES,
        defaults=defaults.DINOV2 | {"num_register_tokens": 4},
        heads=_dinov2_heads("Dinov2WithRegisters", "dinov2_with_registers."),
        options={"positions": "class"},
        read=keys.read_ratio,
        write=keys.write_dinov2,
        is_square=True,
        antialias=True,
    ),
    "dinov3_vit": ModelType(
        namings=(names.DINOV3,),
        defaults=defaults.DINOV3,
        heads={"none": Task("DINOv3ViTModel", _TOKEN)},
        options={"positions": None, "rotary": "centred"},
        read=keys.read_dinov3,
        write=keys.write_dinov3,
    ),
    "ijepa": ModelType(
        namings=_VIT_NAMES,
        defaults=defaults.VIT,
        heads={
            "none": Task("IJepaModel", _MEAN),
            "classifier": Task("IJepaForImageClassification", _MEAN, "ijepa."),
        },
    ),
    "vit_msn": ModelType(
        namings=_VIT_NAMES,
        defaults=defaults.VIT | {"layer_norm_eps": 1e-6},
        # transformers 5 writes the blocks of this class without the prefix.
        heads={"none": Task("ViTMSNModel", _TOKEN), "classifier": _MSN_CLASSIFIER},
    ),
    "vit_mae": ModelType(
        namings=_VIT_NAMES,
        defaults=defaults.VIT,
        heads={"none": Task("ViTMAEModel", _TOKEN)},
    ),
    "clip_vision_model": _clip("CLIP", wrapper="clip"),
    "metaclip_2_vision_model": _clip("MetaClip2", wrapper="metaclip_2"),
    "chinese_clip_vision_model": _clip("ChineseCLIP", written=False),
    "altclip_vision_model": _clip("AltCLIP", written=False),
    "clipseg_vision_model": _clip("CLIPSeg", written=False),
    "siglip_vision_model": ModelType(
        namings=(names.CLIP,),
        defaults=defaults.SIGLIP,
        heads=_siglip_heads("Siglip"),
        read=keys.read_siglip,
        write=keys.write_siglip,
        is_square=True,
        wrapper="siglip",
    ),
    "siglip2_vision_model": ModelType(
        namings=(names.SIGLIP2,),
        defaults={k: v for k, v in defaults.SIGLIP.items() if k != "image_size"}
        | {"num_patches": 256},
        heads=_siglip_heads("Siglip2"),
        read=keys.read_siglip2,
        write=keys.write_siglip2,
        is_square=True,
        wrapper="siglip2",
        interpolation="bilinear",
        antialias=True,
    ),
    "aimv2_vision_model": ModelType(
        namings=(names.AIMV2,),
        defaults=defaults.AIMV2,
        heads={"none": Task("Aimv2VisionModel", {"use_class_token": False})},
        options={"normalization": "rms", "use_patch_norm": True, "mlp": "gated"},
        read=keys.read_aimv2,
        write=keys.write_aimv2,
        is_square=True,
    ),
    "mlcd_vision_model": ModelType(
        namings=(names.MLCD,),
        defaults=defaults.MLCD,
        heads={"none": Task("MLCDVisionModel", _TOKEN)},
        options={
            "use_pre_norm": True,
            "use_patch_bias": False,
            "positions": None,
            "rotary": "axial",
            "rotary_layout": "half",
            "use_class_rotation": True,
        },
        read=keys.read_mlcd,
        write=keys.write_mlcd,
        is_square=True,
    ),
    "tipsv2_vision_model": ModelType(
        namings=(names.TIPSV2_SAVED, names.TIPSV2, names.DINOV2_RENAMED),
        defaults=defaults.TIPSV2,
        heads={"none": Task("Tipsv2VisionModel", _TOKEN)},
        options={"positions": "class"},
        read=keys.read_ratio,
        write=keys.write_dinov2,
        is_square=True,
        interpolation="bilinear",
        antialias=True,
    ),
    "sapiens2": ModelType(
        namings=(names.SAPIENS2, names.SAPIENS2_RENAMED),
        defaults=defaults.SAPIENS2,
        heads={"none": Task("Sapiens2Model", _TOKEN)},
        options={
            "positions": None,
            "rotary": "centred",
            "normalization": "rms",
            "use_mlp_layer_scale": False,
        },
        read=keys.read_sapiens2,
        write=keys.write_sapiens2,
    ),
    # Positions are there for the largest image; others take a part of the table.
    "radio": ModelType(
        namings=(names.RADIO, names.RADIO_RENAMED),
        defaults=defaults.RADIO,
        heads={
            "none": Task("RadioModel", _TOKEN, "radio_model.", ignored=_RADIO_IGNORED)
        },
        options={"positions": "patches", "use_patch_bias": False, "final_norm": None},
        read=keys.read_radio,
        write=keys.write_radio,
        is_square=True,
        interpolation="bilinear",
        is_radio=True,
    ),
    "internvl_vision": ModelType(
        namings=(names.INTERNVL,),
        defaults=defaults.INTERNVL,
        heads={"none": Task("InternVLVisionModel", {"use_class_token": True})},
        read=keys.read_internvl,
        write=keys.write_internvl,
        is_square=True,
    ),
    # transformers normalizes BLIP's pooled token twice; the authors, as here, once.
    "blip_vision_model": ModelType(
        namings=(names.BLIP,),
        defaults=defaults.BLIP,
        heads={"none": Task("BlipVisionModel", _TOKEN)},
        is_square=True,
    ),
    "blip_2_vision_model": ModelType(
        namings=(names.BLIP,),
        defaults=defaults.BLIP2,
        heads={"none": Task("Blip2VisionModel", _TOKEN)},
        is_square=True,
    ),
    "instructblip_vision_model": ModelType(
        namings=(names.BLIP,),
        defaults=defaults.BLIP2,
        heads={"none": Task("InstructBlipVisionModel", _TOKEN)},
        is_square=True,
    ),
    "pixio": ModelType(
        namings=(names.PIXIO, names.PIXIO_RENAMED),
        defaults=defaults.PIXIO,
        heads={
            "none": Task("PixioModel", {"pooling": "prefix", "use_class_token": False})
        },
        read=keys.read_ratio,
        write=keys.write_ratio,
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
    "tipsv2": "tipsv2_vision_model",
    "internvl": "internvl_vision",
    "blip": "blip_vision_model",
    "blip-2": "blip_2_vision_model",
    "instructblip": "instructblip_vision_model",
}
SUPPORTED = (*MODEL_TYPES, *NESTED)
