"""Open a preset folder that KerasHub's `save_to_preset` wrote.

A folder has `config.json` and `model.weights.h5` of a backbone, or several files that
`model.weights.json` lists; of a task also `task.json` and `task.weights.h5`; and
`image_converter.json` or `preprocessor.json` if there was a preprocessor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.files.h5 import read_h5
from keras_vit.checkpoints.files.json import read_json
from keras_vit.checkpoints.keras_hub.config import (
    classifier_options,
    keras_hub_config,
)
from keras_vit.checkpoints.keras_hub.entries import (
    NAMES,
    HubArrays,
    HubNames,
    hub_entries,
)
from keras_vit.checkpoints.resample import Resampling
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing

_TASK = "task/"  # before the names of task.weights.h5
# Where a model for images and text keeps its vision encoder.
_ENCODERS = {
    "SigLIPBackbone": "layers/sig_lip_vision_encoder/",
    "CLIPBackbone": "layers/clip_vision_encoder/",
    "MetaCLIP2Backbone": "layers/meta_clip2_vision_encoder/",
}


def is_keras_hub(config: dict[str, Any]) -> bool:
    """Tell whether a `config.json` is one of KerasHub's."""
    return str(config.get("registered_name")).startswith("keras_hub>")


def open_keras_hub(folder: Path, config: dict[str, Any]) -> Checkpoint:
    """Describe a checkpoint that KerasHub wrote.

    The model returns what KerasHub's returns: a backbone all tokens, a classifier
    logits, SigLIP's encoder what attention pooled. Of models for images and text it is
    the vision encoder, with the class token pooled if there is one.

    Args:
        folder: where it is.
        config: its `config.json`.

    Raises:
        FileNotFoundError: if there are no weights.
        ImportError: if h5py is not installed.
        ValueError: if the model is none that keras_vit builds, or a file is damaged.
    """
    source, task = str(folder), read_json(folder / "task.json")
    try:
        arrays = read_h5(_weight_files(folder, task is not None))
    except ImportError as error:
        raise ImportError(
            f"h5py is needed to read {source!r}. Install it with pip install h5py."
        ) from error
    try:
        vit, hub = _model(config, task, arrays)
    except KeyError as error:
        raise ValueError(
            f"The configuration or the weights in {source!r} lack {error}. Save the "
            "folder again with KerasHub's save_to_preset."
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{source!r}: {error}") from error
    return Checkpoint(
        source=source,
        config=vit,
        arrays=arrays,
        entries=lambda config: hub_entries(config, hub),
        preprocessing=_preprocessing(folder, vit),
        own_preprocessing=_preprocessing(folder, vit, at_own_size=True),
        is_ignored=lambda name: _is_ignored(name, hub),
        resampling=Resampling(
            antialias=bool(config["config"].get("antialias_in_interpolation", True))
        ),
    )


def _weight_files(folder: Path, has_task: bool) -> list[tuple[str, Path]]:
    files = ["model.weights.h5"]
    index = read_json(folder / "model.weights.json")
    if index is not None:
        parts = index.get("weight_map", {}).values()
        parts = [[part] if isinstance(part, str) else part for part in parts]
        files = sorted({Path(name).name for part in parts for name in part})
    found = [("", folder / name) for name in files]
    if has_task:
        found.append((_TASK, folder / "task.weights.h5"))
    return found


def _model(
    config: dict[str, Any], task: dict[str, Any] | None, arrays: Arrays
) -> tuple[ViTConfig, HubArrays]:
    name, options, prefix = config["class_name"], config["config"], ""
    whole = name
    if name in _ENCODERS:
        prefix = _ENCODERS[name]
        encoder = options["vision_encoder"]
        name, options = encoder["class_name"], encoder["config"]
    if name not in NAMES:
        keras_hub_config(name, options, 3)  # It says what there is.
    names = NAMES[name]
    kernel = f"{prefix}{names.tokens}/{names.convolution}/vars/0"
    *_, channels, _ = arrays[kernel].shape
    vit = keras_hub_config(name, options, channels)
    if whole in _ENCODERS and vit.has_class_token:
        vit = vit.changed(pooling="token")
        if vit.final_norm is None:
            vit = vit.changed(final_norm="after_pooling")
    if task is not None:
        head = classifier_options(task["class_name"], task["config"], options)
        vit = vit.changed(**head)
    hub = HubArrays(
        names=names,
        prefix=prefix,
        token_numbers=_token_numbers(name, vit, options),
        position_ids=_position_ids(names, vit, prefix, arrays),
    )
    return vit, hub


def _token_numbers(
    name: str, vit: ViTConfig, options: dict[str, Any]
) -> dict[str, int]:
    """Return the numbers of tokens and positions among the variables of one layer."""
    tokens = ["class_token/token"] if vit.has_class_token else []
    if name == "DeiTBackbone":
        kind = "distillation_token/token"
        tokens += [kind if vit.use_distillation_token else "registers/tokens"]
        tokens += ["position_embedding/table"]
    if name in ("DINOV2Backbone", "DINOV3Backbone"):
        tokens += ["mask"] if options.get("use_mask_token", True) else []
        tokens += ["registers/tokens"] if vit.num_registers else []
    if name == "DINOV2Backbone":
        # Behind it are those of the original size, which it was resampled from.
        tokens += ["position_embedding/table"]
    return {token: i for i, token in enumerate(tokens) if token != "mask"}


def _position_ids(
    names: HubNames, vit: ViTConfig, prefix: str, arrays: Arrays
) -> np.ndarray | None:
    """Return which rows of the table are read, if not each by its own token.

    A CLIP encoder that was not made from a preset reads the first one everywhere.
    """
    name = f"{prefix}{names.tokens}/vars/{int(vit.has_class_token)}"
    if not names.has_table or name not in arrays:
        return None
    ids = arrays[name].reshape(-1)
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"{name!r} must hold whole numbers, received {ids.dtype}.")
    return None if np.array_equal(ids, np.arange(ids.size)) else ids


def _is_ignored(name: str, hub: HubArrays) -> bool:
    """Tell arrays that inference does not use."""
    if name.startswith(_TASK):
        return name.startswith(f"{_TASK}optimizer/") or "seed_generator" in name
    if not name.startswith(f"{hub.prefix}layers/") or "seed_generator" in name:
        return True  # The text encoder, the head of both, the optimizer.
    # The mask token, the positions of another size, the ids of positions.
    return name.startswith(f"{hub.prefix}{hub.names.tokens}/vars/")


def _preprocessing(
    folder: Path, vit: ViTConfig, *, at_own_size: bool = False
) -> Preprocessing | None:
    """Return what KerasHub's image converter does, if there is one.

    For the size of the model, or for the one that the converter makes, if it says one.
    Values are the same; resizing differs a little, since KerasHub mostly shrinks
    without antialiasing, which is not imitated, and crops before it resizes.
    """
    converter = read_json(folder / "image_converter.json")
    if converter is None:
        preprocessor = read_json(folder / "preprocessor.json") or {}
        converter = preprocessor.get("config", {}).get("image_converter")
    options = (converter or {}).get("config")
    interpolation = (options or {}).get("interpolation", "bilinear")
    if not options or options.get("pad_to_aspect_ratio") or "lanczos5" in interpolation:
        return None  # Black borders and that filter are nothing we have.
    # x * scale + offset, with x from 0 to 255.
    scale, offset = (
        value if isinstance(value, (list, tuple)) else [value] * vit.channels
        for value in (options.get("scale") or 1.0, options.get("offset") or 0.0)
    )
    std = [1 / (255 * value) for value in scale]
    image_size = vit.image_size
    if at_own_size:
        image_size = options.get("image_size")
        if not image_size:
            return None
        if isinstance(image_size, list):
            image_size = tuple(image_size)
    return Preprocessing(
        image_size=image_size,  # pyright: ignore[reportArgumentType]
        channels=vit.channels,
        resize="crop" if options.get("crop_to_aspect_ratio", True) else "squash",
        interpolation="lanczos" if "lanczos" in interpolation else interpolation,
        mean=tuple(-b * s for b, s in zip(offset, std, strict=True)),
        std=tuple(std),
    )
