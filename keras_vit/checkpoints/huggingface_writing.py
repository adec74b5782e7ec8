"""From a `ViTConfig` to the model of transformers that computes the same.

A model type expresses a config if what is written for it reads back as that config,
so that reading alone says what each key means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from keras_vit.checkpoints.entries import store
from keras_vit.checkpoints.huggingface import (
    Place,
    huggingface_entries,
    unused_arrays,
)
from keras_vit.checkpoints.huggingface_config import (
    ACTIVATIONS,
    config_from_huggingface,
    fixed_size,
)
from keras_vit.checkpoints.huggingface_keys import FIELDS
from keras_vit.checkpoints.huggingface_types import (
    MODEL_TYPES,
    NESTED,
    Head,
    ModelType,
    Task,
)
from keras_vit.config import ViTConfig

# Of training, or of a kind of rotation that no model type has.
_WITHOUT_EFFECT = (
    *("dropout_rate", "attention_dropout_rate", "stochastic_depth_rate"),
    *("patch_dropout_rate", "stochastic_depth_curve"),
    *("rotary_offset", "rotary_order", "rotary_grid", "rotary_layout"),
)


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
    wanted = _comparable(config)
    if task is None or task.architecture is None:
        # Compare with the bare tower all the same, to name what else differs.
        bare = _without_head(config)
        _, differing = _attempt(name, "none", bare)
        sizes = ("num_classes", "representation_size", "use_distillation_token")
        given = {key: getattr(wanted, key) for key in sizes if getattr(wanted, key)}
        return None, [*(f"{k}={v!r}" for k, v in given.items()), *differing]
    written = _written(name, row, task, head, config)
    try:
        found = _comparable(config_from_huggingface(written, head))
    except (TypeError, ValueError) as error:
        return None, [f"the config ({error})", *asdict(wanted)]
    if row.is_radio:  # It has a layer scale if the arrays are there.
        found = replace(found, layer_scale=wanted.layer_scale)
    differing = [
        f"{field.name}={getattr(wanted, field.name)!r}"
        for field in fields(ViTConfig)
        if getattr(found, field.name) != getattr(wanted, field.name)
    ]
    if row.is_square:
        differing += [
            f"{size}={getattr(wanted, size)!r}"
            for size in ("image_size", "patch_size")
            if len(set(getattr(wanted, size))) > 1
        ]
    return written, differing


def _without_head(config: ViTConfig) -> ViTConfig:
    return replace(
        config, num_classes=None, representation_size=None, classifier_activation=None
    )


def _written(
    name: str, row: ModelType, task: Task, head: Head, config: ViTConfig
) -> dict[str, Any]:
    keys = {key: getattr(config, FIELDS[key]) for key in row.defaults if key in FIELDS}
    keys = {key: row.defaults[key] if v is None else v for key, v in keys.items()}
    keys["hidden_act"] = _activation(config.activation)
    for size in {"image_size", "patch_size"} & set(keys):
        height, width = keys[size]
        keys[size] = height if height == width else [height, width]
    keys.update(row.write(config))
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


def _comparable(config: ViTConfig) -> ViTConfig:
    """Return the config with one spelling for what is the same in two ways."""
    defaults = {field.name: field.default for field in fields(ViTConfig)}
    changes = {name: defaults[name] for name in _WITHOUT_EFFECT}
    if config.rotary == "axial":
        changes = {k: v for k, v in changes.items() if not k.startswith("rotary")}
    if config.rotary is None:
        changes["rotary_temperature"] = defaults["rotary_temperature"]
    changes["use_class_token"] = config.has_class_token
    if config.positions in ("class", "patches"):
        everywhere = replace(config, positions="all")
        if everywhere.num_position_rows == config.num_position_rows:
            changes["positions"] = "all"
    if config.pooling in ("attention", "query"):
        changes["pooling_num_heads"] = config.num_pooling_heads
    if config.pooling == "attention":
        changes["pooling_mlp_dim"] = config.pooling_mlp_dim or config.mlp_dim
    if config.layer_scale is not None:
        # Its first value says nothing about the values that were trained.
        changes["layer_scale"] = 1.0
    if config.num_kv_heads is not None:
        heads = tuple(config.block_kv_heads(i) for i in range(config.num_layers))
        is_grouped = set(heads) != {config.num_heads}
        changes["num_kv_heads"] = heads if is_grouped else None
    if config.num_classes is None:
        changes["use_head_bias"] = True
    return replace(config, **changes)
