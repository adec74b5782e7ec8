"""The model types of transformers that are plain ViTs, as one table.

Each row says what a `config.json` of that type means, in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from keras_vit.checkpoints.huggingface import keys
from keras_vit.checkpoints.huggingface.keys import FurtherKeys, Values
from keras_vit.checkpoints.huggingface.names import NAMINGS, Naming
from keras_vit.checkpoints.resample import RADIO, Resampling

Head = Literal["none", "pooler", "classifier", "teacher", "projection"]


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
        heads: what may be on the tower.
        options: fields of `ViTConfig` that all of this type have.
        further: keys of its `config.json` that are not read one by one.
        takes_rectangles: whether transformers computes with other images than squares.
        wrapper: the type whose `config.json` holds that of this one as
            "vision_config"; "" if there is none.
        resampling: how transformers fits positions to another size.
        is_layer_scale_optional: whether there is a layer scale only if a file has it.
    """

    namings: tuple[Naming, ...]
    heads: Mapping[Head, Task]
    options: Values = field(default_factory=dict)
    further: FurtherKeys = FurtherKeys()
    takes_rectangles: bool = False
    wrapper: str = ""
    resampling: Resampling = Resampling(antialias=False)
    is_layer_scale_optional: bool = False


_TOKEN = {"pooling": "token"}
_MEAN = {"pooling": "mean", "use_class_token": False}
_PREFIX = {"pooling": "prefix", "use_class_token": False}
_POOLER = ("pooler.",)
_RADIO_IGNORED = (
    *("input_conditioner.", "summary_idxs", "embeddings.video_patch_projection."),
    "model.patch_generator.video_embedder.",
)


def _headless(architecture: str, options: Values = _TOKEN) -> dict[Head, Task]:
    return {"none": Task(architecture, options)}


def _vit_heads(name: str, prefix: str, options: Values = _TOKEN) -> dict[Head, Task]:
    classifier = f"{name}ForImageClassification"
    return {
        "none": Task(f"{name}Model", options),
        "pooler": Task(f"{name}Model", options),
        "classifier": Task(classifier, options, prefix, ignored=_POOLER),
    }


def _deit_heads() -> dict[Head, Task]:
    # The distillation token is in the sequence; only the teacher's head reads it.
    heads = _vit_heads("DeiT", "deit.", {**_TOKEN, "num_registers": 1})
    both = {**_TOKEN, "use_distillation_token": True}
    teacher = "DeiTForImageClassificationWithTeacher"
    heads["teacher"] = Task(teacher, both, "deit.", ignored=_POOLER)
    return heads


def _classified(
    name: str, prefix: str, bare: Values, classified: Values
) -> dict[Head, Task]:
    classifier = Task(f"{name}ForImageClassification", classified, prefix)
    return {**_headless(f"{name}Model", bare), "classifier": classifier}


def _clip_heads(name: str, *, written: bool) -> dict[Head, Task]:
    tower, heads = "vision_model.", _headless(f"{name}VisionModel")
    projection = f"{name}VisionModelWithProjection" if written else None
    projected = {**_TOKEN, "use_head_bias": False}
    heads["projection"] = Task(projection, projected, tower)
    if written:  # Its classifier averages patches that no norm has seen.
        mean = {"pooling": "mean", "use_class_token": True, "final_norm": None}
        classifier = f"{name}ForImageClassification"
        norm = ("post_layernorm.",)
        heads["classifier"] = Task(classifier, mean, tower, ignored=norm)
    return heads


def _clip(name: str, wrapper: str, *, written: bool = True) -> ModelType:
    return ModelType(
        namings=(NAMINGS["clip"], NAMINGS["altclip"]),
        heads=_clip_heads(name, written=written),
        options={"use_pre_norm": True, "use_patch_bias": False},
        wrapper=wrapper,
    )


def _siglip_heads(name: str) -> dict[Head, Task]:
    classifier = Task(
        f"{name}ForImageClassification",
        _MEAN,
        "vision_model.",
        keys={"vision_use_head": False},
        ignored=("head.",),
    )
    bare = _headless(f"{name}VisionModel", {"use_class_token": False})
    return {**bare, "classifier": classifier}


def _blip(name: str, wrapper: str) -> ModelType:
    # transformers normalizes BLIP's pooled token twice; the authors, as here, once.
    heads = _headless(f"{name}VisionModel")
    return ModelType(namings=(NAMINGS["blip"],), heads=heads, wrapper=wrapper)


_BOTH = {"pooling": "token_mean"}
_DINOV2_NAMES = (NAMINGS["dinov2"], NAMINGS["dinov2_renamed"])
_VIT_NAMES = (NAMINGS["vit"], NAMINGS["vit_renamed"])
_MSN_CLASSIFIER = Task("ViTMSNForImageClassification", _TOKEN, "vit.", "")

MODEL_TYPES: dict[str, ModelType] = {
    "vit": ModelType(
        namings=_VIT_NAMES,
        heads=_vit_heads("ViT", "vit."),
        takes_rectangles=True,
    ),
    "deit": ModelType(
        namings=(NAMINGS["deit"], NAMINGS["deit_renamed"]),
        heads=_deit_heads(),
        takes_rectangles=True,
    ),
    "dinov2": ModelType(
        namings=_DINOV2_NAMES,
        heads=_classified("Dinov2", "dinov2.", _TOKEN, _BOTH),
        further=keys.DINOV2,
    ),
    "dinov2_with_registers": ModelType(
        namings=_DINOV2_NAMES,
        heads=_classified(
            "Dinov2WithRegisters", "dinov2_with_registers.", _TOKEN, _BOTH
        ),
        options={"positions": "class"},
        further=keys.SWIGLU,
        resampling=Resampling(),
    ),
    "dinov3_vit": ModelType(
        namings=(NAMINGS["dinov3"],),
        heads=_headless("DINOv3ViTModel"),
        options={"positions": None, "rotary": "centred"},
        further=keys.DINOV3,
        takes_rectangles=True,
    ),
    "ijepa": ModelType(
        namings=_VIT_NAMES,
        heads=_classified("IJepa", "ijepa.", _MEAN, _MEAN),
        takes_rectangles=True,
    ),
    "vit_msn": ModelType(
        namings=_VIT_NAMES,
        # transformers 5 writes the blocks of this class without the prefix.
        heads={"none": Task("ViTMSNModel", _TOKEN), "classifier": _MSN_CLASSIFIER},
        takes_rectangles=True,
    ),
    "vit_mae": ModelType(
        namings=_VIT_NAMES, heads=_headless("ViTMAEModel"), takes_rectangles=True
    ),
    "clip_vision_model": _clip("CLIP", "clip"),
    "metaclip_2_vision_model": _clip("MetaClip2", "metaclip_2"),
    "chinese_clip_vision_model": _clip("ChineseCLIP", "chinese_clip", written=False),
    "altclip_vision_model": _clip("AltCLIP", "altclip", written=False),
    "clipseg_vision_model": _clip("CLIPSeg", "clipseg", written=False),
    "siglip_vision_model": ModelType(
        namings=(NAMINGS["clip"],), heads=_siglip_heads("Siglip"), wrapper="siglip"
    ),
    "siglip2_vision_model": ModelType(
        namings=(NAMINGS["siglip2"],),
        heads=_siglip_heads("Siglip2"),
        further=keys.SIGLIP2,
        wrapper="siglip2",
        resampling=Resampling("bilinear"),
    ),
    "aimv2_vision_model": ModelType(
        namings=(NAMINGS["aimv2"],),
        heads=_headless("Aimv2VisionModel", {"use_class_token": False}),
        options={"normalization": "rms", "use_patch_norm": True, "mlp": "gated"},
        further=keys.AIMV2,
        wrapper="aimv2",
    ),
    "mlcd_vision_model": ModelType(
        namings=(NAMINGS["mlcd"],),
        heads=_headless("MLCDVisionModel"),
        options={
            "use_pre_norm": True,
            "use_patch_bias": False,
            "positions": None,
            "rotary": "axial",
            "rotary_layout": "half",
            "use_class_rotation": True,
        },
        further=keys.MLCD,
    ),
    "tipsv2_vision_model": ModelType(
        namings=(NAMINGS["tipsv2_saved"], NAMINGS["tipsv2"], NAMINGS["dinov2_renamed"]),
        heads=_headless("Tipsv2VisionModel"),
        options={"positions": "class"},
        further=keys.SWIGLU,
        wrapper="tipsv2",
        resampling=Resampling("bilinear"),
    ),
    "sapiens2": ModelType(
        namings=(NAMINGS["sapiens2"], NAMINGS["sapiens2_renamed"]),
        heads=_headless("Sapiens2Model"),
        options={
            "positions": None,
            "rotary": "centred",
            "normalization": "rms",
            "use_mlp_layer_scale": False,
        },
        further=keys.SAPIENS2,
        takes_rectangles=True,
    ),
    # Positions are there for the largest image; others take a part of the table.
    "radio": ModelType(
        namings=(NAMINGS["radio"], NAMINGS["radio_renamed"]),
        heads={
            "none": Task("RadioModel", _TOKEN, "radio_model.", ignored=_RADIO_IGNORED)
        },
        options={"positions": "patches", "use_patch_bias": False, "final_norm": None},
        further=keys.RADIO,
        resampling=RADIO,
        is_layer_scale_optional=True,
    ),
    "internvl_vision": ModelType(
        namings=(NAMINGS["internvl"],),
        heads=_headless("InternVLVisionModel", {"use_class_token": True}),
        further=keys.INTERNVL,
        wrapper="internvl",
    ),
    "blip_vision_model": _blip("Blip", "blip"),
    "blip_2_vision_model": _blip("Blip2", "blip-2"),
    "instructblip_vision_model": _blip("InstructBlip", "instructblip"),
    "pixio": ModelType(
        namings=(NAMINGS["pixio"], NAMINGS["pixio_renamed"]),
        heads=_headless("PixioModel", _PREFIX),
        further=keys.RATIO,
    ),
}
# Types whose config.json holds that of a tower as "vision_config".
NESTED = {row.wrapper: name for name, row in MODEL_TYPES.items() if row.wrapper}
SUPPORTED = (*MODEL_TYPES, *NESTED)
