"""Open what transformers writes: `config.json` with a `model_type`, and arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.class_names import class_names
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.files.wrappers import inner_arrays, outer_prefixes
from keras_vit.checkpoints.huggingface.config import (
    config_from_huggingface,
    fixed_size,
    tower_keys,
    tower_type,
)
from keras_vit.checkpoints.huggingface.entries import (
    PREFIXES,
    Place,
    classifier_name,
    find_place,
    huggingface_entries,
)
from keras_vit.checkpoints.huggingface.preprocessing import (
    normalized_again,
    read_preprocessing,
)
from keras_vit.checkpoints.huggingface.types import (
    MODEL_TYPES,
    NESTED,
    Head,
    ModelType,
)
from keras_vit.config import ViTConfig
from keras_vit.preprocessing import Preprocessing

# In the order in which they are looked for: the name of an array tells the head.
_HEADS: tuple[tuple[Head, str], ...] = (
    ("teacher", "cls_classifier.weight"),
    ("classifier", "classifier.weight"),
    ("projection", "visual_projection.weight"),
)
_IGNORED = ("embeddings.mask_token", "mask_token", "embeddings.position_ids")


def is_huggingface(config: dict[str, Any]) -> bool:
    """Tell whether a `config.json` is one of transformers'."""
    return isinstance(config.get("model_type"), str)


def open_huggingface(
    folder: Path, config: dict[str, Any], arrays: Arrays
) -> Checkpoint:
    """Describe a checkpoint that transformers wrote.

    Args:
        folder: where it is.
        config: its `config.json`.
        arrays: its weights.

    Raises:
        ValueError: if the model type is none that keras_vit builds, or the tower is
            not among the arrays.
    """
    if config.get("quantization_config"):
        raise ValueError(
            f"{str(folder)!r} must hold floats, received quantized weights, by its "
            "quantization_config. Load it with transformers, and save it with "
            "model.dequantize().save_pretrained(...)."
        )
    model_type = tower_type(config)
    row = MODEL_TYPES[model_type]
    place = find_place(row.namings, arrays)
    if place is None:
        patches = "|".join(re.escape(naming.patches) for naming in row.namings)
        anchor = rf"(?:{'|'.join(map(re.escape, PREFIXES))})(?:{patches})\.weight"
        around = outer_prefixes(arrays, anchor)
        # Of a module around all of it; a part of another model is not what it seems.
        if len(around) == 1 and all(n.startswith(tuple(around)) for n in arrays):
            arrays = inner_arrays(arrays, anchor, str(folder))
            place = find_place(row.namings, arrays)
    if place is None:
        raise ValueError(
            f"{str(folder)!r} has no weights of a {model_type}: no array is called "
            f"...{row.namings[0].patches}.weight beside a first block. The arrays are "
            f"{sorted(arrays)[:6]}, ... Check that config.json is that of the weights."
        )
    head = _head_of(row, place, arrays)
    vit = config_from_huggingface(config, head)
    scale = f"{place.block(0)}{''.join(place.naming.scales[:1])}"
    if row.is_layer_scale_optional and scale not in arrays:
        vit = replace(vit, layer_scale=None)
    keys = tower_keys(config)
    # Those of the config, unless positions are there for larger images.
    image_size = keys.get("image_size", fixed_size(vit))
    preprocessing, own = (
        _preprocessing(folder, size, vit.channels, keys) for size in (image_size, None)
    )
    is_nested = config["model_type"] in NESTED
    return Checkpoint(
        source=str(folder),
        config=vit,
        arrays=arrays,
        entries=lambda config: huggingface_entries(config, place),
        preprocessing=preprocessing,
        own_preprocessing=own,
        class_names=class_names(_labels(config, head), vit.num_classes, str(folder)),
        is_ignored=_is_ignored(row, place, head, is_nested, vit),
        resampling=row.resampling,
        image_size=image_size,
    )


def _preprocessing(
    folder: Path, image_size: tuple[int, int] | None, channels: int, keys: dict
) -> Preprocessing | None:
    """Return what images go through before our layers; see `read_preprocessing`.

    Some models of transformers normalize what their processor made once more.
    """
    found = read_preprocessing(folder, image_size, channels)
    if found is None or "norm_mean" not in keys:
        return found
    return normalized_again(found, keys["norm_mean"], keys["norm_std"])


def _head_of(row: ModelType, place: Place, names: Container[str]) -> Head:
    pooler: tuple[Head, str] = ("pooler", f"{place.prefix}pooler.dense.weight")
    for head, name in (*_HEADS, pooler):
        if head in row.heads and name in names:
            return head
    return "none"


def _is_ignored(
    row: ModelType, place: Place, head: Head, is_nested: bool, vit: ViTConfig
) -> Callable[[str], bool]:
    """Return what tells the arrays that are left out on purpose."""
    tails = [*_IGNORED]
    if vit.num_registers == 0 and place.naming.registers:
        tails.append(place.naming.registers)  # It is there and empty.
    classifier = (f"{classifier_name(vit)}.", "distillation_classifier.")

    def is_ignored(name: str) -> bool:
        if is_nested and not name.startswith((place.prefix, place.block(0)[:-2])):
            return head == "none" or not name.startswith(classifier)  # The text model.
        if name.startswith("decoder."):  # Of pre-training with masked images.
            return True
        tail = name.removeprefix(place.prefix)
        return tail in tails or tail.startswith(row.heads[head].ignored or ("\0",))

    return is_ignored


def _labels(config: dict[str, Any], head: Head) -> Any:
    """Return the labels of a classifier, whichever way round they are written."""
    if head not in ("classifier", "teacher"):
        return None
    return config.get("id2label") or config.get("label2id")
