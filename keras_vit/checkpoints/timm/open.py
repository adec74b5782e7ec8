"""Open what timm writes: `config.json` and `model.safetensors` or a `.bin`.

And what the wrapper of transformers around timm's models (`timm_wrapper`) writes: the
same with a prefix.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.class_names import class_names
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.files.wrappers import inner_arrays
from keras_vit.checkpoints.resample import Resampling
from keras_vit.checkpoints.timm.config import config_from_timm, timm_table
from keras_vit.checkpoints.timm.entries import timm_entries
from keras_vit.preprocessing import Preprocessing, Resize

# Used in training only, or computed again.
_IGNORED = ("mask_token", "rope.periods")


def open_timm(folder: Path, config: dict[str, Any], arrays: Arrays) -> Checkpoint:
    """Describe a checkpoint that timm wrote.

    Args:
        folder: where it is.
        config: its `config.json`.
        arrays: its weights.

    Raises:
        ValueError: if the architecture is none that keras_vit builds.
    """
    is_wrapped = config.get("model_type") == "timm_wrapper"
    arrays = inner_arrays(arrays, r"patch_embed\.proj\.weight", str(folder))
    # Old repositories are one flat dictionary.
    pretrained = config.get("pretrained_cfg") or config
    model_args = dict(config.get("model_args") or {})
    architecture = config["architecture"]
    num_classes = config.get("num_classes", pretrained.get("num_classes"))
    if num_classes is not None:
        model_args["num_classes"] = num_classes
    if config.get("global_pool") is not None:
        model_args.setdefault("global_pool", config["global_pool"])
    is_sized = model_args.get("img_size") is not None
    size = pretrained.get("input_size")
    if size is not None and not is_sized:
        model_args["img_size"] = tuple(size[1:])
        model_args.setdefault("in_chans", size[0])
    vit = config_from_timm(architecture, **model_args)
    # The wrapper writes the number of classes for a backbone, too. Elsewhere a number
    # that is stated has to be true.
    is_stated = num_classes is not None and not is_wrapped
    if vit.num_classes is not None and "head.weight" not in arrays and not is_stated:
        vit = replace(vit, num_classes=None)
    return Checkpoint(
        source=str(folder),
        # timm makes positions for whole patches, and resamples them where it pads.
        config=replace(vit, pad_images=False),
        arrays=arrays,
        entries=lambda config: timm_entries(config, arrays),
        preprocessing=timm_preprocessing(
            vit.image_size or (224, 224), vit.channels, pretrained
        ),
        # That of the config, unless the arguments of the model state another.
        own_preprocessing=None
        if size is None
        else timm_preprocessing(tuple(size[1:]), vit.channels, pretrained),
        class_names=class_names(
            _label_names(config, pretrained), vit.num_classes, str(folder)
        ),
        is_ignored=lambda name: name in _IGNORED,
        resampling=timm_resampling(architecture),
        pad_images=vit.pad_images,
        stated="all" if is_sized else "architecture",
    )


def timm_resampling(architecture: str) -> Resampling:
    """Return how timm fits positions and patches to another size."""
    # FlexiViT and RADIO were trained with another resampling than the others.
    if "flexi" in architecture or "radio" in architecture:
        return Resampling("bilinear", antialias=False)
    return Resampling()


_RESIZE: dict[str, Resize] = {
    "center": "crop",
    "squash": "squash",
    "border": "border",
}


def timm_preprocessing(
    image_size: tuple[int, int], channels: int, pretrained: dict[str, Any]
) -> Preprocessing | None:
    """Return what timm's `create_transform` does in evaluation."""
    if "mean" not in pretrained:
        return None
    interpolation = pretrained.get("interpolation") or pretrained.get("interp")
    crop_mode = pretrained.get("crop_mode", "center")
    return Preprocessing(
        image_size=image_size,
        channels=channels,
        resize=_RESIZE.get(crop_mode, "crop"),
        crop_ratio=float(pretrained.get("crop_pct") or 0.875),
        interpolation=interpolation or "bicubic",
        mean=_per_channel(pretrained["mean"], channels),
        std=_per_channel(pretrained["std"], channels),
    )


def _per_channel(values: Any, channels: int) -> tuple[float, ...]:
    values = tuple(float(value) for value in values)
    if len(values) == channels:
        return values
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[i % len(values)] for i in range(channels))


def _label_names(config: dict[str, Any], pretrained: dict[str, Any]) -> Any:
    """Return the names as timm's files of all ages call them."""
    for where in (config, pretrained):
        for key in ("label_names", "labels"):
            if where.get(key):
                return where[key]
    return None


def is_timm(config: dict[str, Any]) -> bool:
    """Tell whether a `config.json` is one of timm's."""
    return "architecture" in config and (
        "pretrained_cfg" in config
        or config["architecture"] in timm_table()
        or "num_features" in config
    )
