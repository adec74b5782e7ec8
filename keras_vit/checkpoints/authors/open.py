"""Open a file of weights without a `config.json`: a timm name says what it is."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.authors.families import Family, to_timm
from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.timm.config import (
    config_from_timm,
    timm_table,
    unknown_architecture,
)
from keras_vit.checkpoints.timm.entries import timm_entries
from keras_vit.checkpoints.timm.open import timm_preprocessing, timm_resampling
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing

# Where RADIO resampled positions from corner to corner; timm, vision_transformer.py.
_CORNERS = ("base_patch16_radio_v3", "huge_patch16_radio_v3")


def open_authors_file(path: Path, architecture: str, arrays: Arrays) -> Checkpoint:
    """Describe a checkpoint of the authors of an architecture.

    The number of classes, the place of the last norm and the size that positions
    belong to are those of the file.

    Args:
        path: of the file.
        architecture: what timm calls it, with or without tag. The tag, by default the
            first, says the image size, and if it is given or all tags agree,
            preprocessing.
        arrays: of the file.

    Raises:
        ValueError: if there is no such architecture, or no family whose arrays are
            called like these.
    """
    name, pretrained = _row(architecture)
    size = pretrained.get("input_size")
    sizes = {"img_size": tuple(size[1:]), "in_chans": size[0]} if size else {}
    config = config_from_timm(name, **sizes)
    family, arrays = to_timm(arrays, config, str(path))
    config = _with_head(config, arrays)
    config = _with_patches(config, arrays)
    resampling = family.resampling or timm_resampling(name)
    if family.resampling and name.endswith(_CORNERS):
        resampling = replace(resampling, align_corners=True)
    return Checkpoint(
        source=str(path),
        config=config,
        arrays=arrays,
        entries=lambda config: timm_entries(config, arrays),
        preprocessing=_preprocessing(architecture, config, family),
        resampling=resampling,
        stated="nothing",
    )


def own_architecture(arrays: Arrays) -> str | None:
    """Return the architecture that weights without a configuration say they are of.

    Those of timm's training script say it, and those of torchvision have one only by
    their sizes.
    """
    name = getattr(arrays, "architecture", None)
    if name is not None and name.partition(".")[0] in timm_table():
        return name
    is_torchvision = any(name.endswith("encoder.pos_embedding") for name in arrays)
    sizes = _sizes(arrays) if is_torchvision else None
    return _TORCHVISION.get(sizes) if sizes else None


# By width, number of blocks and patch size: vit_b_16, vit_b_32, vit_l_16, vit_l_32,
# vit_h_14.
_TORCHVISION = {
    (768, 12, 16): "vit_base_patch16_224",
    (768, 12, 32): "vit_base_patch32_224",
    (1024, 24, 16): "vit_large_patch16_224",
    (1024, 24, 32): "vit_large_patch32_224",
    (1280, 32, 14): "vit_huge_patch14_224",
}
_KERNEL = re.compile(
    r".*(?:patch_embed\.proj|conv_proj|conv1|patch_embeddings?\S*)\.weight"
)
_BLOCK = re.compile(r".*(?:blocks|layers?|resblocks)\.(?:encoder_layer_)?(\d+)\.")


def _sizes(arrays: Arrays) -> tuple[int, int, int] | None:
    """Return width, number of blocks and patch size of a ViT, None if it is none."""
    kernels = [name for name in arrays if _KERNEL.fullmatch(name)]
    blocks = {int(match[1]) for match in map(_BLOCK.match, arrays) if match}
    if not kernels or not blocks:
        return None
    shape = arrays[kernels[0]].shape
    return (shape[0], max(blocks) + 1, shape[-1]) if len(shape) == 4 else None


def needs_architecture(path: Path, arrays: Arrays | None = None) -> str:
    """Return the message for weights that nothing says the architecture of."""
    stem = path.stem.lower().replace("-", "_")
    near = difflib.get_close_matches(stem, timm_table(), n=5, cutoff=0.5)
    sizes = _sizes(arrays) if arrays is not None else None
    found = ""
    if sizes is not None:
        found = " It holds {1} blocks of width {0} with patches of {2} pixels.".format(
            *sizes
        )
    return (
        f"{str(path)!r} has no config.json beside it, which says what the arrays are."
        f"{found} Pass architecture=..., the timm name of what the authors trained"
        + (f", such as one of {near}" if near else "")
        + "; keras_vit.list_models() lists them all."
    )


def _row(architecture: str) -> tuple[str, dict[str, Any]]:
    """Return the name without tag, and what timm says of the tag."""
    name, _, tag = architecture.partition(".")
    if name not in timm_table():
        raise ValueError(unknown_architecture(architecture))
    configs = {config.get("tag"): config for config in timm_table()[name]["pretrained"]}
    if tag and tag not in configs:
        raise ValueError(
            f"The tags of {name!r} are {list(configs)}, received {tag!r}. Leave the "
            "tag out, or use one of these."
        )
    return name, configs[tag] if tag else next(iter(configs.values()), {})


def _preprocessing(
    architecture: str, config: ViTConfig, family: Family
) -> Preprocessing | None:
    """Return what the tag says; without one, what all tags agree on."""
    name, _, tag = architecture.partition(".")
    if not tag and family.name == "torchvision":
        return None  # It trains with other means than timm.
    rows = [_row(architecture)[1]] if tag else timm_table()[name]["pretrained"]
    size = config.image_size or (224, 224)
    found = {timm_preprocessing(size, config.channels, row) for row in rows}
    return found.pop() if len(found) == 1 else None


def _with_head(config: ViTConfig, arrays: Arrays) -> ViTConfig:
    """Return the config with the classifier and the last norm that the file has."""
    has_head = "head.weight" in arrays
    changes: dict[str, Any] = {
        "num_classes": arrays["head.weight"].shape[0] if has_head else None,
        "use_head_bias": "head.bias" in arrays or not has_head,
    }
    if "fc_norm.weight" in arrays and config.final_norm != "after_pooling":
        changes["use_class_token"] = config.has_class_token
        changes |= {"pooling": "mean", "final_norm": "after_pooling"}
    return replace(config, **changes)


def _with_patches(config: ViTConfig, arrays: Arrays) -> ViTConfig:
    """Return the config with the patches that the kernel of the file is for."""
    kernel = arrays.get("patch_embed.proj.weight")
    if kernel is None or kernel.ndim != 4:
        return config
    _, channels, *patch_size = kernel.shape
    return replace(config, channels=channels, patch_size=tuple(patch_size))
