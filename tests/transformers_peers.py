"""Models of transformers that tests and benchmarks compare with.

Each case is a class of transformers, tiny, with random weights, and how to call it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 16,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 99,
}
_SMALL = {**TEXT, "encoder_hidden_size": 32}  # of BLIP-2's Q-Former
_OPT = {"model_type": "opt", **TEXT, "ffn_dim": 16, "word_embed_proj_dim": 16}
_OPT |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
_BLIP2 = {"text_config": _OPT, "qformer_config": _SMALL}
_QWEN = {"text_config": {"model_type": "qwen2", **TEXT, "num_key_value_heads": 2}}
WIDE = {"image_size": (24, 16)}  # Not square.
LABELS = {"num_labels": 5}


def import_transformers() -> Any:
    """Import transformers, with CPU builds of torch too; see `import_timm`."""
    name = "torchvision._meta_registrations"
    sys.modules.setdefault(name, types.ModuleType(name))
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _pooled(model: Any, pixels: Any) -> Any:
    return model(pixels).pooler_output


def _logits(model: Any, pixels: Any) -> Any:
    return model(pixels).logits


def _embeds(model: Any, pixels: Any) -> Any:
    return model(pixels).image_embeds


def _image_features(model: Any, pixels: Any) -> Any:
    features = model.get_image_features(pixel_values=pixels)
    return getattr(features, "pooler_output", features)


def _tower(model: Any, pixels: Any) -> Any:
    return model.vision_model(pixels).pooler_output


def _first(model: Any, pixels: Any) -> Any:
    return model(pixels).last_hidden_state[:, 0]


def _mean(model: Any, pixels: Any) -> Any:
    return model(pixels).last_hidden_state.mean(1)


def _patch_mean(model: Any, pixels: Any) -> Any:
    return model(pixels).last_hidden_state[:, 1:].mean(1)


def _tower_first(model: Any, pixels: Any) -> Any:
    return model.vision_model(pixels).last_hidden_state[:, 0]


def _tower_mean(model: Any, pixels: Any) -> Any:
    return model.vision_model(pixels).last_hidden_state.mean(1)


def _internvl_tower(model: Any, pixels: Any) -> Any:
    return model.vision_tower(pixels).last_hidden_state[:, 1:].mean(1)


def _unmasked(model: Any, pixels: Any) -> Any:
    """All patches in their order, none dropped."""
    import torch

    encoder = getattr(model, "vit", model)
    encoder.config.mask_ratio = 0.0
    encoder.embeddings.config.mask_ratio = 0.0
    count = encoder.embeddings.patch_embeddings.num_patches
    noise = torch.arange(count, dtype=torch.float32).expand(len(pixels), count)
    return encoder(pixels, noise=noise).last_hidden_state[:, 0]


def _flat_patches(model: Any, pixels: Any, output: str = "pooler_output") -> Any:
    """NaFlex: pixels in patches, channels fastest."""
    import torch

    patch = 8
    batch, channels, height, width = pixels.shape
    rows, columns = height // patch, width // patch
    grid = pixels.reshape(batch, channels, rows, patch, columns, patch)
    flat = grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)
    mask = torch.ones(flat.shape[:2], dtype=torch.int64)
    shapes = torch.tensor([[rows, columns]] * batch)
    return getattr(model(flat, mask, shapes), output)


def _radio(model: Any, pixels: Any) -> Any:
    """The first class token; images are normalized already."""
    import torch

    model.input_conditioner = torch.nn.Identity()
    return model(pixels).summary[:, : model.config.hidden_size]


def _flat_tower(model: Any, pixels: Any) -> Any:
    return _flat_patches(model.vision_model, pixels)


def _flat_logits(model: Any, pixels: Any) -> Any:
    return _flat_patches(model, pixels, "logits")


@dataclass(frozen=True)
class Case:
    """One class of transformers.

    Args:
        cls: its name.
        config: the name of the class of its config.
        options: of the config, or of its vision config.
        call: from model and pixels to what keras_vit computes.
        top: options of a config that nests the vision config. None: it does not.
        made: arguments of the class beside the config.
        dropped: arrays that the model does not compute with, ends of their names.
    """

    cls: str
    config: str
    options: dict[str, Any]
    call: Callable[[Any, Any], Any]
    top: dict[str, Any] | None = None
    made: dict[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


_MASK = ("mask_token",)
_SIGLIP_HEAD = tuple(
    f"vision_model.head.{name}"
    for name in (
        *("probe", "attention.in_proj_weight", "attention.in_proj_bias"),
        *("attention.out_proj.weight", "attention.out_proj.bias"),
        *("layernorm.weight", "layernorm.bias", "mlp.fc1.weight", "mlp.fc1.bias"),
        *("mlp.fc2.weight", "mlp.fc2.bias"),
    )
)
_RADIO = ("norm_mean", "norm_std", "summary_idxs")
_FOUR = {"num_patches": 4}
_ACT = {"hidden_act": "quick_gelu", "qkv_bias": False}
CASES: dict[str, Case] = {
    "vit pooler": Case("ViTModel", "ViTConfig", WIDE, _pooled),
    "vit": Case(
        "ViTModel", "ViTConfig", _ACT, _first, made={"add_pooling_layer": False}
    ),
    "vit classifier": Case(
        "ViTForImageClassification", "ViTConfig", {**WIDE, **LABELS}, _logits
    ),
    "vit masked": Case(
        "ViTForMaskedImageModeling",
        "ViTConfig",
        {"encoder_stride": 8},
        lambda model, pixels: model.vit(pixels).last_hidden_state[:, 0],
        dropped=("decoder.0.weight", "decoder.0.bias", *_MASK),
    ),
    "deit pooler": Case("DeiTModel", "DeiTConfig", WIDE, _pooled),
    "deit classifier": Case(
        "DeiTForImageClassification", "DeiTConfig", {**WIDE, **LABELS}, _logits
    ),
    "deit teacher": Case(
        "DeiTForImageClassificationWithTeacher",
        "DeiTConfig",
        {**WIDE, **LABELS},
        _logits,
    ),
    "dinov2": Case("Dinov2Model", "Dinov2Config", {}, _pooled, dropped=_MASK),
    "dinov2 classifier gated": Case(
        "Dinov2ForImageClassification",
        "Dinov2Config",
        {**LABELS, "use_swiglu_ffn": True},
        _logits,
        dropped=_MASK,
    ),
    "dinov2_with_registers": Case(
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        {},
        _pooled,
        dropped=_MASK,
    ),
    "dinov2_with_registers classifier": Case(
        "Dinov2WithRegistersForImageClassification",
        "Dinov2WithRegistersConfig",
        {**LABELS, "num_register_tokens": 2},
        _logits,
        dropped=_MASK,
    ),
    "dinov3_vit": Case(
        "DINOv3ViTModel", "DINOv3ViTConfig", WIDE, _pooled, dropped=_MASK
    ),
    "dinov3_vit gated": Case(
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        {
            **WIDE,
            "num_register_tokens": 2,
            "use_gated_mlp": True,
            "key_bias": True,
            "mlp_bias": False,
            "hidden_act": "silu",
        },
        _pooled,
        dropped=_MASK,
    ),
    "vit_mae": Case("ViTMAEModel", "ViTMAEConfig", WIDE, _unmasked),
    "vit_msn": Case("ViTMSNModel", "ViTMSNConfig", WIDE, _first),
    "vit_msn classifier": Case(
        "ViTMSNForImageClassification", "ViTMSNConfig", {**WIDE, **LABELS}, _logits
    ),
    "ijepa": Case("IJepaModel", "IJepaConfig", WIDE, _mean),
    "ijepa classifier": Case(
        "IJepaForImageClassification", "IJepaConfig", {**WIDE, **LABELS}, _logits
    ),
    "clip tower": Case("CLIPVisionModel", "CLIPVisionConfig", {}, _pooled),
    "clip projection": Case(
        "CLIPVisionModelWithProjection",
        "CLIPVisionConfig",
        {"projection_dim": 6, "hidden_act": "gelu"},
        _embeds,
    ),
    "clip": Case("CLIPModel", "CLIPConfig", {}, _image_features, {"projection_dim": 6}),
    "clip classifier": Case(
        "CLIPForImageClassification",
        "CLIPConfig",
        {},
        _logits,
        LABELS,
        dropped=("post_layernorm.weight", "post_layernorm.bias"),
    ),
    "metaclip_2 tower": Case(
        "MetaClip2VisionModel", "MetaClip2VisionConfig", {}, _pooled
    ),
    "metaclip_2 projection": Case(
        "MetaClip2VisionModelWithProjection",
        "MetaClip2VisionConfig",
        {"projection_dim": 6},
        _embeds,
    ),
    "metaclip_2": Case(
        "MetaClip2Model", "MetaClip2Config", {}, _image_features, {"projection_dim": 6}
    ),
    "metaclip_2 classifier": Case(
        "MetaClip2ForImageClassification",
        "MetaClip2Config",
        {},
        _logits,
        {},  # Two labels, which transformers does not write.
        dropped=("post_layernorm.weight", "post_layernorm.bias"),
    ),
    "chinese_clip tower": Case(
        "ChineseCLIPVisionModel", "ChineseCLIPVisionConfig", {}, _pooled
    ),
    "chinese_clip": Case(
        "ChineseCLIPModel",
        "ChineseCLIPConfig",
        {},
        _image_features,
        {"projection_dim": 6},
    ),
    "altclip tower": Case("AltCLIPVisionModel", "AltCLIPVisionConfig", {}, _pooled),
    "altclip": Case(
        "AltCLIPModel", "AltCLIPConfig", {}, _image_features, {"projection_dim": 6}
    ),
    "clipseg tower": Case("CLIPSegVisionModel", "CLIPSegVisionConfig", {}, _pooled),
    "clipseg": Case(
        "CLIPSegModel", "CLIPSegConfig", {}, _image_features, {"projection_dim": 6}
    ),
    "siglip tower": Case("SiglipVisionModel", "SiglipVisionConfig", {}, _pooled),
    "siglip tower without head": Case(
        "SiglipVisionModel", "SiglipVisionConfig", {"vision_use_head": False}, _mean
    ),
    "siglip": Case("SiglipModel", "SiglipConfig", {}, _tower, {}),
    "siglip classifier": Case(
        "SiglipForImageClassification",
        "SiglipConfig",
        {},
        _logits,
        LABELS,
        dropped=tuple(
            f"vision_model.head.{name}"
            for name in (
                *("probe", "attention.in_proj_weight", "attention.in_proj_bias"),
                *(
                    f"{part}.{kind}"
                    for part in (
                        "attention.out_proj",
                        "layernorm",
                        "mlp.fc1",
                        "mlp.fc2",
                    )
                    for kind in ("weight", "bias")
                ),
            )
        ),
    ),
    "siglip2 tower": Case(
        "Siglip2VisionModel", "Siglip2VisionConfig", _FOUR, _flat_patches
    ),
    "siglip2": Case("Siglip2Model", "Siglip2Config", _FOUR, _flat_tower, {}),
    "siglip2 classifier": Case(
        "Siglip2ForImageClassification",
        "Siglip2Config",
        _FOUR,
        _flat_logits,
        LABELS,
        dropped=_SIGLIP_HEAD,
    ),
    "aimv2": Case("Aimv2Model", "Aimv2Config", {"use_head": False}, _tower_mean, {}),
    "aimv2 tower": Case(
        "Aimv2VisionModel", "Aimv2VisionConfig", {"use_head": False}, _mean
    ),
    "aimv2 tower native": Case(
        "Aimv2VisionModel",
        "Aimv2VisionConfig",
        {"use_head": False, "is_native": True, "qkv_bias": True, "mlp_bias": True},
        _mean,
    ),
    "aimv2 with head": Case("Aimv2Model", "Aimv2Config", {}, _tower, {}),
    "aimv2 tower with head": Case("Aimv2VisionModel", "Aimv2VisionConfig", {}, _pooled),
    "aimv2 tower native with head": Case(
        "Aimv2VisionModel",
        "Aimv2VisionConfig",
        {"is_native": True, "qkv_bias": True},
        _pooled,
    ),
    "mlcd tower": Case("MLCDVisionModel", "MLCDVisionConfig", {}, _pooled),
    "tipsv2": Case(
        "Tipsv2Model",
        "Tipsv2Config",
        {},
        _tower,
        {"text_config": {**TEXT, "hidden_size": 32}},
    ),
    "tipsv2 tower": Case(
        "Tipsv2VisionModel", "Tipsv2VisionConfig", {}, _pooled, dropped=_MASK
    ),
    "tipsv2 tower gated": Case(
        "Tipsv2VisionModel",
        "Tipsv2VisionConfig",
        {"use_swiglu_ffn": True, "num_register_tokens": 2},
        _pooled,
        dropped=_MASK,
    ),
    "sapiens2": Case(
        "Sapiens2Model",
        "Sapiens2Config",
        {**WIDE, "num_key_value_heads_per_layer": [2, 1]},
        _pooled,
    ),
    "sapiens2 plain": Case(
        "Sapiens2Model",
        "Sapiens2Config",
        {"use_gated_mlp": False, "use_qk_norm": False, "num_register_tokens": 0},
        _pooled,
    ),
    "radio": Case(
        "RadioModel", "RadioConfig", {"max_img_size": 40}, _radio, dropped=_RADIO
    ),
    "radio normalized": Case(
        "RadioModel",
        "RadioConfig",
        {
            "max_img_size": 16,
            "num_cls_tokens": 1,
            "summary_idxs": [0],
            "norm_mean": [0.0] * 3,
            "norm_std": [1.0] * 3,
        },
        _radio,
        dropped=_RADIO,
    ),
    "internvl tower": Case(
        "InternVLVisionModel",
        "InternVLVisionConfig",
        {"attention_bias": True, "use_mean_pooling": True},
        _patch_mean,
    ),
    "internvl tower rms": Case(
        "InternVLVisionModel",
        "InternVLVisionConfig",
        {"norm_type": "rms_norm", "use_qk_norm": True},
        _patch_mean,
    ),
    "internvl tower token": Case(
        "InternVLVisionModel",
        "InternVLVisionConfig",
        {"use_mean_pooling": False},
        _first,
    ),
    "internvl": Case("InternVLModel", "InternVLConfig", {}, _internvl_tower, _QWEN),
    "blip tower": Case("BlipVisionModel", "BlipVisionConfig", {}, _first),
    "blip": Case("BlipModel", "BlipConfig", {}, _tower_first, {}),
    "blip-2": Case("Blip2Model", "Blip2Config", {}, _tower_first, _BLIP2),
    "blip_2 tower": Case("Blip2VisionModel", "Blip2VisionConfig", {}, _first),
    "blip_2 tower without bias": Case(
        "Blip2VisionModel", "Blip2VisionConfig", {"qkv_bias": False}, _first
    ),
    "instructblip": Case(
        "InstructBlipForConditionalGeneration",
        "InstructBlipConfig",
        {},
        _tower_first,
        _BLIP2,
    ),
    "instructblip tower": Case(
        "InstructBlipVisionModel", "InstructBlipVisionConfig", {}, _first
    ),
    "pixio": Case("PixioModel", "PixioConfig", {}, _pooled),
}


def make(case: Case, *, seed: int = 0) -> Any:
    """Build a model of transformers in inference mode, no weight of it zero."""
    transformers = import_transformers()
    import torch

    config_class = getattr(transformers, case.config)
    options = {**SIZES, **case.options}
    if case.top is None:
        config = config_class(**options)
    else:
        top = {"text_config": TEXT, **case.top}
        config = config_class(vision_config=options, **top)
    with torch.device("cpu"):
        model = getattr(transformers, case.cls)(config, **case.made).eval()
    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, device="cpu")
            parameter += 0.1 * noise
    return model


def write(model: Any, folder: str | Path) -> None:
    """Let transformers write a model: config.json and model.safetensors."""
    model.save_pretrained(folder)


def call(case: Case, model: Any, images: np.ndarray) -> np.ndarray:
    """Call a model with channels-last images."""
    import torch

    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    with torch.no_grad(), torch.device("cpu"):
        return case.call(model, torch.from_numpy(pixels)).numpy()
