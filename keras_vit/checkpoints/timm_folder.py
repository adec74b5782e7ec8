"""Open what timm writes: `config.json` and `model.safetensors` or a `.bin`.

And what the wrapper of transformers around timm's models (`timm_wrapper`) writes: the
same with a prefix.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.renamed import without_prefix
from keras_vit.checkpoints.timm import timm_entries
from keras_vit.checkpoints.timm_config import config_from_timm, timm_table
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
    arrays = without_prefix(arrays, "timm_model.")  # that of the wrapper
    # Old repositories are one flat dictionary.
    pretrained = config.get("pretrained_cfg") or config
    model_args = dict(config.get("model_args") or {})
    architecture = config["architecture"]
    num_classes = config.get("num_classes", pretrained.get("num_classes"))
    if num_classes is not None:
        model_args["num_classes"] = num_classes
    if config.get("global_pool") is not None:
        model_args.setdefault("global_pool", config["global_pool"])
    size = pretrained.get("input_size")
    if size is not None and "img_size" not in model_args:
        model_args["img_size"] = tuple(size[1:])
        model_args.setdefault("in_chans", size[0])
    vit = config_from_timm(architecture, **model_args)
    # The wrapper writes the number of classes for a backbone, too. Elsewhere a number
    # that is stated has to be true.
    is_stated = num_classes is not None and not is_wrapped
    if vit.num_classes is not None and "head.weight" not in arrays and not is_stated:
        vit = replace(vit, num_classes=None)
    # FlexiViT, RADIO and Google's files were trained with another resampling.
    is_bilinear = "flexi" in architecture or "radio" in architecture
    return Checkpoint(
        source=str(folder),
        config=vit,
        arrays=arrays,
        entries=lambda config: timm_entries(config, arrays),
        preprocessing=timm_preprocessing(
            vit.image_size or (224, 224), vit.channels, pretrained
        ),
        class_names=_class_names(config, pretrained, vit.num_classes),
        is_ignored=lambda name: name in _IGNORED,
        interpolation="bilinear" if is_bilinear else "bicubic",
        antialias=not is_bilinear,
    )


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


def _class_names(
    config: dict[str, Any], pretrained: dict[str, Any], num_classes: int | None
) -> tuple[str, ...] | None:
    names = config.get("label_names") or pretrained.get("label_names")
    if not names or len(names) != num_classes:
        return None
    if all(name == f"LABEL_{i}" for i, name in enumerate(names)):
        return None  # What transformers writes if there are none.
    return tuple(str(name) for name in names)


def is_timm(config: dict[str, Any]) -> bool:
    """Tell whether a `config.json` is one of timm's."""
    return "architecture" in config and (
        "pretrained_cfg" in config
        or config["architecture"] in timm_table()
        or "num_features" in config
    )
