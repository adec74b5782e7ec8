"""Build a model from a checkpoint of any format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Entry, read_values
from keras_vit.checkpoints.hub import find_source
from keras_vit.checkpoints.open import open_checkpoint
from keras_vit.checkpoints.resample import (
    adapt_channels,
    resample_and_crop,
    resample_patch_kernel,
    resample_positions,
)
from keras_vit.checkpoints.timm_config import config_from_timm
from keras_vit.config import ViTConfig, check_options
from keras_vit.keras_file import load_keras
from keras_vit.keras_internals import initialize, unallocated
from keras_vit.model import ViT
from keras_vit.preprocessing import Preprocessing

_MODEL_OPTIONS = ("dtype", "name", "preprocessing", "class_names", "trainable")
# What is left out or begins anew when one of these options is changed.
_CHANGED_PARTS = {
    "num_classes": ("head/logits", "head/distillation_logits"),
    "representation_size": ("head/",),
    "pooling": ("pooling/", "head/logits"),
    "final_norm": ("norm/",),
    "use_class_token": ("patch_encoder/class_token/",),
    "num_registers": ("patch_encoder/registers/",),
}


def load(
    source: str | Path,
    *,
    architecture: str | None = None,
    revision: str | None = None,
    pretrained: bool = True,
    **changes: Any,
) -> ViT:
    """Build the model of a checkpoint and give it the weights.

    Strict: each array is used once and each weight is set, apart from what a change
    leaves out or begins anew.

    Args:
        source: one of
            a timm name with or without tag ("vit_base_patch16_224.augreg_in21k"), see
            `list_models`;
            a hub id ("google/vit-base-patch16-224", "timm/..."), through
            huggingface_hub with its cache and offline mode (extra `hub`);
            a folder with `config.json` and weights, as timm, transformers and KerasHub
            write it;
            a `.safetensors`, `.bin` or `.pth` file beside its `config.json`, or with
            `architecture`; a Google `.npz`; a `.keras` file or a folder with it.
        architecture: timm name, with or without tag, of the model in a `.pth`, `.pt`,
            `.bin` or `.safetensors` file as its authors publish it, without
            `config.json`: "dino_deitsmall16.pth" is a "vit_small_patch16_224.dino".
            Default None: a file or folder says itself what it holds.
        revision: branch, tag or commit of a hub repository. Default: its main branch.
        pretrained: False builds the architecture of a timm name with new weights,
            without network. Default True.
        **changes: options of `ViT` that differ from the checkpoint: `num_classes` (a
            new head; None: none), `image_size` (positions are resampled with the
            kernel of the checkpoint's authors; None: inside the model, for images of
            any size), `patch_size` (kernel by FlexiViT's
            pseudo-inverse), `channels` (as timm adapts them), `pooling`, rates,
            `dtype`, `name`.

    Raises:
        FileNotFoundError: if there is nothing at the source.
        ImportError: if the package that a source needs is not installed.
        OSError: if the hub cannot be reached or refuses the repository.
        TypeError: if an option does not exist.
        ValueError: if the checkpoint is damaged, of an unknown kind, or does not match
            its configuration; nothing is half loaded.
    """
    check_options(changes, *_MODEL_OPTIONS)
    if not pretrained:
        architecture = str(source).partition(".")[0]
        options = {k: changes.pop(k) for k in _MODEL_OPTIONS if k in changes}
        config = _changed_config(config_from_timm(architecture), changes)
        return ViT(**asdict(config), **options)
    path = find_source(source, revision)
    is_ours = path.suffix == ".keras" or (path / "model.keras").is_file()
    if is_ours and architecture is None:
        return _own_model(path, changes)
    return build(open_checkpoint(path, architecture), **changes)


def _own_model(path: Path, changes: dict[str, Any]) -> ViT:
    """Load a model of ours; with changes, as if it were a foreign checkpoint."""
    file = path / "model.keras" if path.is_dir() else path
    model: Any = load_keras(file)
    if not isinstance(model, ViT):
        raise ValueError(
            f"{str(file)!r} holds a {type(model).__name__}, not a keras_vit.ViT. Load "
            "it with keras.models.load_model."
        )
    if not changes:
        return model
    changes.setdefault("name", model.name)
    changes.setdefault("dtype", model.get_config()["dtype"])
    values = {w.path: keras.ops.convert_to_numpy(w.value) for w in model.weights}
    checkpoint = Checkpoint(
        source=str(file),
        config=model.config,
        arrays=values,
        entries=lambda config: [Entry(path, (path,)) for path in values],
        preprocessing=model.preprocessing,
        class_names=model.class_names,
    )
    return build(checkpoint, **changes)


def build(checkpoint: Checkpoint, **changes: Any) -> ViT:
    """Build the model of an opened checkpoint; see `load`."""
    options = {k: changes.pop(k) for k in _MODEL_OPTIONS if k in changes}
    if checkpoint.image_size is not None:
        changes.setdefault("image_size", checkpoint.image_size)
    if "pooling" in changes:  # Its default would follow the pooling.
        changes.setdefault("use_class_token", checkpoint.config.has_class_token)
    config = _changed_config(checkpoint.config, changes)
    changed = [
        n for n in changes if getattr(config, n) != getattr(checkpoint.config, n)
    ]
    if config.has_class_token == checkpoint.config.has_class_token:
        changed = [n for n in changed if n != "use_class_token"]
    options.setdefault("preprocessing", _preprocessing(checkpoint, config))
    entries = checkpoint.entries(checkpoint.config)
    if changes.get("num_classes") and _lacks_head(checkpoint, entries):
        changed.append("num_classes")
    parts = tuple(p for name in changed for p in _CHANGED_PARTS.get(name, ()))
    if not any(part.startswith("head/logits") for part in parts):
        options.setdefault("class_names", checkpoint.class_names)
    with unallocated():
        model = ViT(**asdict(config), **options)
    dropped = {n for e in entries if e.weight.startswith(parts) for n in e.names}

    def is_new(path: str) -> bool:
        return path.startswith(parts) if parts else False

    values = read_values(
        model,
        entries,
        checkpoint.arrays,
        source=checkpoint.source,
        is_ignored=lambda name: name in dropped or checkpoint.is_ignored(name),
        convert=_converter(checkpoint, config),
        is_new=is_new,
    )
    initialize(model, values)
    return model


def _lacks_head(checkpoint: Checkpoint, entries: list[Entry]) -> bool:
    """Tell whether a checkpoint holds a backbone, whatever its configuration says."""
    names = {n for e in entries if e.weight.startswith("head/logits") for n in e.names}
    return bool(names) and not any(name in checkpoint.arrays for name in names)


def _changed_config(config: ViTConfig, changes: dict[str, Any]) -> ViTConfig:
    if changes.get("num_classes", 0) is None:
        changes.setdefault("classifier_activation", None)
    return config.changed(**changes)


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
            image_size=config.image_size or preprocessing.image_size,
            channels=config.channels,
            mean=mean,
            std=std,
        )
    size = config.image_size or preprocessing.image_size
    return replace(preprocessing, image_size=size)


def _converter(
    checkpoint: Checkpoint, config: ViTConfig
) -> Callable[[str, np.ndarray], np.ndarray]:
    """Return what fits the arrays that depend on sizes to the wanted ones."""
    old = checkpoint.config
    kind = (checkpoint.interpolation, checkpoint.antialias)

    def convert(path: str, value: np.ndarray) -> np.ndarray:
        if path == "patch_encoder/position_embedding/table":
            # A table of another length is an error, which `read_values` reports.
            if value.shape[1] == old.num_position_rows:
                grids = old.table_grid, config.table_grid
                if checkpoint.is_cropped:
                    return resample_and_crop(value, *grids, *kind)
                return resample_positions(value, *grids, *kind)
        elif path == "patch_encoder/projection/kernel":
            if value.shape[0] == old.patch_dim:
                value = resample_patch_kernel(
                    value,
                    old.patch_size,
                    config.patch_size,
                    checkpoint.interpolation.removesuffix("_corners"),
                    checkpoint.antialias,
                )
                return adapt_channels(value, config.patch_size, config.channels)
        return value

    return convert
