"""What a change of the configuration means for the weights of a trained model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from keras_vit.checkpoints.comparable import comparable, differing_fields
from keras_vit.checkpoints.described import PATCH_KERNEL, POSITIONS
from keras_vit.checkpoints.resample import Resampling, adapt_channels
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing

CLASSIFIERS = ("head/logits", "head/distillation_logits")
# The beginnings of the paths of what is left out or begins anew when a field changes.
_NEW_PARTS = {
    "num_known_classes": CLASSIFIERS,
    "rejection_dim": ("head/rejection_",),
    "representation_size": ("head/",),
    "pooling": ("pooling/", "head/logits"),
    "num_pooled_blocks": ("head/logits",),
    "final_norm": ("norm/",),
    "has_class_token": ("patch_encoder/class_token/",),
    "num_registers": ("patch_encoder/registers/",),
}


def changed_config(config: ViTConfig, changes: dict[str, Any]) -> ViTConfig:
    """Return a config with some fields changed; no classes need no activation."""
    if changes.get("num_classes", 0) is None:
        changes = {"classifier_activation": None, **changes}
    return config.changed(**changes)


def trained_config(config: ViTConfig, changes: dict[str, Any]) -> ViTConfig:
    """Return the changed config of a model whose weights are kept.

    Another pooling would decide about the class token. That of the weights stays.
    """
    if "pooling" in changes:
        changes = {"use_class_token": config.has_class_token, **changes}
    if config.rejection_dim is not None:
        changes = _without_rejection(config, changes)
    return changed_config(config, changes)


def _without_rejection(config: ViTConfig, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes with what they mean for the output of "none of these".

    Other classes begin without it, and without it there is one output less.
    """
    if changes.get("num_classes", config.num_classes) != config.num_classes:
        return {"rejection_dim": None, **changes}
    if changes.get("rejection_dim", config.rejection_dim) is None:
        return {"num_classes": config.num_known_classes, **changes}
    return changes


def check_distances(old: ViTConfig, new: ViTConfig) -> None:
    """Refuse other features where pictures are rejected by a distance between them.

    Raises:
        ValueError: if both models reject pictures and their features differ.
    """
    if old.rejection_dim is None or new.rejection_dim is None:
        return
    differing = set(differing_fields(comparable(old), comparable(new)))
    differing -= {"classifier_activation"}
    if differing:
        raise ValueError(
            'A model that says "none of these" knows distances between its features, '
            f"which {sorted(differing)} change. Take this output away, "
            "keras_vit.changed(model, rejection_dim=None), change the model, and fit "
            "it again: keras_vit.calibrate(model, data, none_of_these=0.05)."
        )


def new_parts(old: ViTConfig, new: ViTConfig) -> tuple[str, ...]:
    """Return the beginnings of the paths of weights that are not taken over."""
    return tuple(part for parts in changed_parts(old, new).values() for part in parts)


def changed_parts(old: ViTConfig, new: ViTConfig) -> dict[str, tuple[str, ...]]:
    """Return `new_parts` by the option that each belongs to."""
    return {
        name: parts
        for name, parts in _NEW_PARTS.items()
        if getattr(old, name) != getattr(new, name)
    }


def is_fitted(path: str, old: ViTConfig, new: ViTConfig) -> bool:
    """Tell whether a weight depends on a size that differs."""
    if path == POSITIONS:
        return old.table_grid != new.table_grid
    sizes = [(config.patch_size, config.channels) for config in (old, new)]
    return path == PATCH_KERNEL and sizes[0] != sizes[1]


def fitted(
    path: str,
    value: np.ndarray,
    old: ViTConfig,
    new: ViTConfig,
    resampling: Resampling,
) -> np.ndarray:
    """Return the value of a weight, resampled if it depends on a size that differs.

    A value that does not have the shape of the old config is returned as it is.

    Args:
        path: of the weight.
        value: in the shape of the old config.
        old: config that the value belongs to.
        new: config that it is wanted for.
        resampling: how positions and patches are fitted to another size.
    """
    if path == POSITIONS and value.shape[1] == old.num_position_rows:
        return resampling.positions(value, old.table_grid, new.table_grid)
    if path == PATCH_KERNEL and value.shape[0] == old.patch_dim:
        kernel = resampling.patch_kernel(value, old.patch_size, new.patch_size)
        return adapt_channels(kernel, new.patch_size, new.channels)
    return value


def fitted_preprocessing(
    preprocessing: Preprocessing | None, config: ViTConfig
) -> Preprocessing | None:
    """Return preprocessing for the image size and the channels of a config."""
    if preprocessing is None:
        return None
    size = config.image_size or preprocessing.image_size
    if preprocessing.channels == config.channels:
        return replace(preprocessing, image_size=size)
    mean, std = (
        tuple(values[i % len(values)] for i in range(config.channels))
        for values in (preprocessing.mean, preprocessing.std)
    )
    return replace(
        preprocessing, image_size=size, channels=config.channels, mean=mean, std=std
    )
