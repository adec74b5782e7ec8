"""From a `ViTConfig` to the model of transformers that computes the same.

A model type expresses a config if what is written for it reads back as that config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_vit.checkpoints.comparable import comparable, differing_fields
from keras_vit.checkpoints.entries import store
from keras_vit.checkpoints.files.json import write_json
from keras_vit.checkpoints.files.safetensors import write_safetensors
from keras_vit.checkpoints.huggingface.config import (
    ACTIVATIONS,
    config_from_huggingface,
    fixed_size,
)
from keras_vit.checkpoints.huggingface.entries import Place, huggingface_entries
from keras_vit.checkpoints.huggingface.keys import default_keys, write_keys
from keras_vit.checkpoints.huggingface.names import NAMINGS
from keras_vit.checkpoints.huggingface.preprocessing import huggingface_preprocessing
from keras_vit.checkpoints.huggingface.types import (
    MODEL_TYPES,
    NESTED,
    Head,
    ModelType,
    Task,
)
from keras_vit.config import ViTConfig


def write_huggingface(model: Any, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` and `preprocessor_config.json`.

    The model type is the first of transformers that can express the config;
    `AutoModelForImageClassification.from_pretrained(FOLDER)` builds the model.
    """
    arrays = huggingface_arrays(model)
    config = huggingface_config(model.config, class_names=model.class_names)
    write_safetensors(folder / "model.safetensors", arrays, {"format": "pt"})
    write_json(folder / "config.json", config)
    if model.preprocessing is not None:
        preprocessing = huggingface_preprocessing(model.preprocessing)
        write_json(folder / "preprocessor_config.json", preprocessing)


@dataclass(frozen=True)
class HuggingfaceModel:
    """A class of transformers and its configuration.

    Args:
        model_type: of the tower.
        head: on the tower.
        config: the `config.json`.
    """

    model_type: str
    head: Head
    config: dict[str, Any]

    @property
    def place(self) -> Place:
        """Where the arrays of the tower are written."""
        row = MODEL_TYPES[self.model_type]
        task = row.heads[self.head]
        return Place(row.namings[0], task.prefix, task.block_prefix)


def huggingface_config(
    config: ViTConfig,
    model_type: str | None = None,
    class_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the `config.json` of a model; see `huggingface_model`."""
    written = dict(huggingface_model(config, model_type).config)
    if class_names is not None and "id2label" in written:
        labels = {str(i): str(name) for i, name in enumerate(class_names)}
        written["id2label"] = labels
        written["label2id"] = {name: int(i) for i, name in labels.items()}
    return written


def huggingface_arrays(
    model: Any, model_type: str | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of a model as transformers names them.

    Raises:
        ValueError: if no model type expresses the config; see `huggingface_model`.
    """
    place = huggingface_model(model.config, model_type).place
    arrays = store(model, huggingface_entries(model.config, place))
    return {**unused_arrays(model.config, place), **arrays}


def huggingface_model(
    config: ViTConfig, model_type: str | None = None
) -> HuggingfaceModel:
    """Return the model of transformers that computes the same.

    Args:
        config: of the model.
        model_type: of a tower, or of a model around one, such as "clip". Default None:
            the first that expresses the config.

    Raises:
        ValueError: if the model type is unknown, or none expresses the config; the
            message names the options that stand against it.
    """
    head = _head_of(config)
    fixed_size(config)
    if model_type is not None and NESTED.get(model_type, model_type) not in MODEL_TYPES:
        raise ValueError(
            f"model_type must be one of {list(MODEL_TYPES)}, received model_type="
            f"{model_type!r}."
        )
    types = [NESTED.get(model_type, model_type)] if model_type else list(MODEL_TYPES)
    nearest: tuple[str, list[str]] | None = None
    for name in types:
        written, differing = _attempt(name, head, config)
        if written is not None and not differing:
            return HuggingfaceModel(name, head, written)
        if nearest is None or len(differing) < len(nearest[1]):
            nearest = (name, differing)
    name, differing = nearest or ("vit", [])
    raise ValueError(
        f"transformers has no {model_type or 'model'} that computes the same: "
        f"{name!r}, {'' if model_type else 'the nearest, '}cannot express "
        f"{', '.join(differing)}. Save with format='keras'"
        + (", or choose another model_type." if model_type else ".")
    )


def _head_of(config: ViTConfig) -> Head:
    if config.num_classes is None:
        return "pooler" if config.representation_size else "none"
    if config.use_distillation_token:
        return "teacher"
    return "classifier" if config.use_head_bias else "projection"


def _attempt(
    name: str, head: Head, config: ViTConfig
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the config of a model type, and the options that it does not express."""
    row = MODEL_TYPES[name]
    task = row.heads.get(head)
    wanted = comparable(config)
    if task is None or task.architecture is None:
        # Compare with the bare tower all the same, to name what else differs.
        headless = {"representation_size": None, "classifier_activation": None}
        bare = replace(config, num_classes=None, **headless)
        _, differing = _attempt(name, "none", bare)
        sizes = ("num_classes", "representation_size", "use_distillation_token")
        given = {key: getattr(wanted, key) for key in sizes if getattr(wanted, key)}
        return None, [*(f"{k}={v!r}" for k, v in given.items()), *differing]
    written = _written(name, row, task, head, config)
    try:
        found = comparable(config_from_huggingface(written, head))
    except (TypeError, ValueError) as error:
        return None, [f"the config ({error})", *asdict(wanted)]
    if row.is_layer_scale_optional:  # Its arrays tell.
        found = replace(found, layer_scale=wanted.layer_scale)
    differing = differing_fields(found, wanted)
    if not row.takes_rectangles:
        sizes = ("image_size", "patch_size")
        differing += [size for size in sizes if len(set(getattr(wanted, size))) > 1]
    return written, [f"{name}={getattr(wanted, name)!r}" for name in differing]


def _written(
    name: str, row: ModelType, task: Task, head: Head, config: ViTConfig
) -> dict[str, Any]:
    keys = write_keys(config, default_keys()[name])
    keys["hidden_act"] = _activation(config.activation)
    for size in {"image_size", "patch_size"} & set(keys):
        height, width = keys[size]
        keys[size] = height if height == width else [height, width]
    keys.update(row.further.write(config))
    keys.update(task.keys)
    if head == "pooler":
        keys["pooler_output_size"] = config.representation_size
    if head == "projection":
        keys["projection_dim"] = config.num_classes
    keys["model_type"] = name
    top: dict[str, Any] = {"architectures": [task.architecture]}
    if head in ("classifier", "teacher"):
        labels = [f"LABEL_{i}" for i in range(config.num_classes or 0)]
        top["id2label"] = {str(i): label for i, label in enumerate(labels)}
        top["label2id"] = {label: i for i, label in enumerate(labels)}
        if row.wrapper:
            return {**top, "model_type": row.wrapper, "vision_config": keys}
    return {**top, **keys}


def _activation(name: str) -> str:
    """Return the name that transformers writes; ours if it has none."""
    names = [theirs for theirs, ours in ACTIVATIONS.items() if ours == name]
    return names[0] if names else name


# Name and rank of the token for masked patches, by naming.
_MASK_TOKENS = {
    "dinov2": ("embeddings.mask_token", 2),
    "dinov3": ("embeddings.mask_token", 3),
    "tipsv2_saved": ("mask_token", 2),
}


def unused_arrays(config: ViTConfig, place: Place) -> dict[str, np.ndarray]:
    """Return arrays that transformers wants and that the model does not compute with.

    The mask token of pre-training, an empty array of registers, the norm that CLIP's
    classifier skips, and RADIO's normalization of images; with the values that
    transformers begins with.
    """
    prefix, dim = place.prefix, config.hidden_dim
    name = next(name for name, naming in NAMINGS.items() if naming == place.naming)
    arrays: dict[str, np.ndarray] = {}
    if name in _MASK_TOKENS and (name != "dinov2" or config.num_registers):
        token, rank = _MASK_TOKENS[name]
        shape = (1,) * (rank - 1) + (dim,)
        arrays[prefix + token] = np.zeros(shape, "float32")
    if name in ("dinov3", "tipsv2_saved", "sapiens2") and not config.num_registers:
        registers = prefix + place.naming.registers
        arrays[registers] = np.zeros((1, 0, dim), "float32")
    if name == "clip" and config.final_norm is None:
        norm = prefix + place.naming.norm
        arrays[f"{norm}.weight"] = np.ones(dim, "float32")
        arrays[f"{norm}.bias"] = np.zeros(dim, "float32")
    if name == "radio":  # Its images are normalized before the model.
        shape, conditioner = (config.channels, 1, 1), f"{prefix}input_conditioner"
        arrays[f"{conditioner}.norm_mean"] = np.zeros(shape, "float32")
        arrays[f"{conditioner}.norm_std"] = np.ones(shape, "float32")
        arrays[f"{prefix}summary_idxs"] = np.zeros(1, "int64")
    return arrays
