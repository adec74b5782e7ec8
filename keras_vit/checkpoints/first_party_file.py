"""Open a file of weights without a `config.json`: a timm name says what it is."""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.first_party import to_timm
from keras_vit.checkpoints.timm import timm_entries
from keras_vit.checkpoints.timm_config import (
    config_from_timm,
    timm_table,
    unknown_architecture,
)
from keras_vit.checkpoints.timm_folder import timm_preprocessing
from keras_vit.config import ViTConfig

# Where RADIO resampled positions from corner to corner; timm, vision_transformer.py.
_CORNERS = ("base_patch16_radio_v3", "huge_patch16_radio_v3")


def open_first_party(path: Path, architecture: str, arrays: Arrays) -> Checkpoint:
    """Describe a checkpoint of the authors of an architecture.

    The number of classes, the place of the last norm and the size that positions
    belong to are those of the file.

    Args:
        path: of the file.
        architecture: what timm calls it, with or without tag. The tag, by default the
            first, says preprocessing and image size.
        arrays: of the file.

    Raises:
        ValueError: if there is no such architecture, or no family whose arrays are
            called like these.
    """
    name, pretrained = _row(architecture)
    size = pretrained.get("input_size")
    sizes = {"img_size": tuple(size[1:]), "in_chans": size[0]} if size else {}
    config = config_from_timm(name, **sizes)
    family, arrays = to_timm(arrays, config)
    config = _with_head(config, arrays)
    wanted, config = config.image_size, _with_positions(config, arrays)
    is_bilinear = family.is_radio or "flexi" in name
    corners = "_corners" if family.is_radio and name.endswith(_CORNERS) else ""
    return Checkpoint(
        source=str(path),
        config=config,
        arrays=arrays,
        entries=lambda config: timm_entries(config, arrays),
        preprocessing=timm_preprocessing(
            wanted or (224, 224), config.channels, pretrained
        ),
        interpolation=f"bilinear{corners}" if is_bilinear else "bicubic",
        antialias=not is_bilinear,
        is_cropped=family.is_radio,
        image_size=wanted,
    )


def needs_architecture(path: Path) -> str:
    """Return the message for weights that nothing says the architecture of."""
    stem = path.stem.lower().replace("-", "_")
    near = difflib.get_close_matches(stem, timm_table(), n=5, cutoff=0.5)
    return (
        f"{str(path)!r} has no config.json beside it, which says what the arrays are. "
        "Pass architecture=..., the timm name of what the authors trained"
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


def _with_positions(config: ViTConfig, arrays: Arrays) -> ViTConfig:
    """Return the config with the square image that the positions of the file fit."""
    if "pos_embed" not in arrays or not config.num_position_rows:
        return config
    rows = arrays["pos_embed"].shape[1]
    patches = rows - (config.num_position_rows - config.num_patches)
    side = math.isqrt(max(patches, 0))
    if rows == config.num_position_rows or side * side != patches or not side:
        return config  # A table of no square is an error, which `assign` reports.
    height, width = config.patch_size
    return replace(config, image_size=(side * height, side * width))
