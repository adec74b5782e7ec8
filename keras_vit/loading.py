"""Build a model from a checkpoint of any format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import assign
from keras_vit.checkpoints.open import open_checkpoint
from keras_vit.checkpoints.resample import (
    adapt_channels,
    resample_patch_kernel,
    resample_positions,
)
from keras_vit.config import ViTConfig, check_options
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing

# What is left out or begins anew when one of these options is changed.
_CHANGED_PARTS = {
    "num_classes": ("head/logits", "head/distillation_logits"),
    "representation_size": ("head/",),
    "pooling": ("pooling/", "head/logits"),
    "final_norm": ("norm/",),
    "use_class_token": ("patch_encoder/class_token/",),
    "num_registers": ("patch_encoder/registers/",),
}


def load(source: str | Path, **changes: Any) -> ViT:
    """Build the model of a checkpoint and give it the weights.

    Strict: each array is used once and each weight is set, apart from what a change
    leaves out or begins anew.

    Args:
        source: a folder with `config.json` and `model.safetensors` as timm writes it.
        **changes: options of `ViT` that differ from the checkpoint: `num_classes` (a
            new head; None: none), `image_size` (positions are resampled with the
            kernel of the checkpoint's authors), `patch_size` (kernel by FlexiViT's
            pseudo-inverse), `channels` (as timm adapts them), `pooling`, rates,
            `dtype`, `name`.

    Raises:
        FileNotFoundError: if there is nothing at the source.
        ImportError: if torch is needed for a `.bin` file and not installed.
        TypeError: if an option does not exist.
        ValueError: if the checkpoint is damaged, of an unknown kind, or does not match
            its configuration; nothing is half loaded.
    """
    extra = ("dtype", "name", "preprocessing", "class_names", "trainable")
    check_options(changes, *extra)
    return build(open_checkpoint(source), **changes)


def build(checkpoint: Checkpoint, **changes: Any) -> ViT:
    """Build the model of an opened checkpoint; see `load`."""
    options = {
        name: changes.pop(name)
        for name in ("dtype", "name", "preprocessing", "class_names", "trainable")
        if name in changes
    }
    config = _changed_config(checkpoint.config, changes)
    changed = [
        n for n in changes if getattr(config, n) != getattr(checkpoint.config, n)
    ]
    options.setdefault("preprocessing", _preprocessing(checkpoint, config))
    if "num_classes" not in changed:
        options.setdefault("class_names", checkpoint.class_names)
    model = ViT(**asdict(config), **options)
    parts = tuple(p for name in changed for p in _CHANGED_PARTS.get(name, ()))
    entries = checkpoint.entries(checkpoint.config)
    dropped = {n for e in entries if e.weight.startswith(parts) for n in e.names}

    def is_new(path: str) -> bool:
        return path.startswith(parts) if parts else False

    assign(
        model,
        entries,
        checkpoint.arrays,
        source=checkpoint.source,
        is_ignored=lambda name: name in dropped or checkpoint.is_ignored(name),
        convert=_converter(checkpoint, config),
        is_new=is_new,
    )
    return model


def _changed_config(config: ViTConfig, changes: dict[str, Any]) -> ViTConfig:
    if changes.get("num_classes", 0) is None:
        changes.setdefault("classifier_activation", None)
    return replace(config, **changes)


def _preprocessing(checkpoint: Checkpoint, config: ViTConfig) -> Preprocessing | None:
    preprocessing = checkpoint.preprocessing
    if preprocessing is None:
        return None
    if preprocessing.channels != config.channels:
        mean, std = (
            tuple(values[i % len(values)] for i in range(config.channels))
            for values in (preprocessing.mean, preprocessing.std)
        )
        return replace(
            preprocessing,
            image_size=config.image_size,
            channels=config.channels,
            mean=mean,
            std=std,
        )
    return replace(preprocessing, image_size=config.image_size)


def _converter(
    checkpoint: Checkpoint, config: ViTConfig
) -> Callable[[str, np.ndarray], np.ndarray]:
    """Return what fits the arrays that depend on sizes to the wanted ones."""
    old = checkpoint.config
    kind = (checkpoint.interpolation, checkpoint.antialias)

    def convert(path: str, value: np.ndarray) -> np.ndarray:
        if path == "patch_encoder/position_embedding/table":
            # A table of another length is an error, which `assign` reports.
            if value.shape[1] == old.num_position_rows:
                return resample_positions(value, old.grid_size, config.grid_size, *kind)
        elif path == "patch_encoder/projection/kernel":
            if value.shape[0] == old.patch_dim:
                value = resample_patch_kernel(
                    value, old.patch_size, config.patch_size, *kind
                )
                return adapt_channels(value, config.patch_size, config.channels)
        return value

    return convert
