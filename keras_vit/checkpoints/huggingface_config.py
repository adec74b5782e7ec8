"""Open what transformers writes: `config.json` with a `model_type`, and arrays."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_vit.checkpoints.checkpoint import Checkpoint
from keras_vit.checkpoints.entries import Arrays
from keras_vit.checkpoints.huggingface import (
    Place,
    classifier_name,
    find_place,
    huggingface_entries,
)
from keras_vit.checkpoints.huggingface_keys import FIELDS
from keras_vit.checkpoints.huggingface_preprocessing import (
    OPENAI_MEAN,
    OPENAI_STD,
    normalized_again,
    read_preprocessing,
)
from keras_vit.checkpoints.huggingface_types import (
    MODEL_TYPES,
    NESTED,
    SUPPORTED,
    Head,
    ModelType,
)
from keras_vit.config import ViTConfig

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "relu": "relu",
    # Other names of the same, which are read but not written.
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "swish": "silu",
}
# What they are instead, for those that look like a ViT by their name.
_NOT_PLAIN = {
    "has stages of several resolutions, or attention in windows": (
        *("swin", "swinv2", "swin2sr", "donut-swin", "maskformer-swin", "pvt"),
        *("pvt_v2", "hiera", "segformer", "glpn", "focalnet", "dinat", "nat", "cvt"),
        *("levit", "efficientformer", "mobilevit", "mobilevitv2", "poolformer"),
        *("swiftformer", "vitdet", "sam", "sam_vision_model", "convnext", "convnextv2"),
        *("dinov3_convnext", "resnet", "bit", "regnet", "van", "mobilenet_v2"),
    ),
    "adds relative positions to the attention": ("beit", "data2vec-vision"),
    "has tokens or positions that keras_vit does not build": (
        *("yolos", "vitpose_backbone", "mlcd", "mlcd_vision_model", "vit_hybrid"),
    ),
}
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
    model_type = tower_type(config)
    row = MODEL_TYPES[model_type]
    place = find_place(row.namings, arrays)
    if place is None:
        raise ValueError(
            f"{str(folder)!r} has no weights of a {model_type}: no array is called "
            f"...{row.namings[0].patches}.weight beside a first block. The arrays are "
            f"{sorted(arrays)[:6]}, ... Check that config.json is that of the weights."
        )
    head = _head_of(row, place, arrays)
    vit = config_from_huggingface(config, head)
    vision = vision_config(config)
    if row.is_radio:
        return _radio(folder, vision, arrays, place, vit)
    return Checkpoint(
        source=str(folder),
        config=vit,
        arrays=arrays,
        entries=lambda config: huggingface_entries(config, place),
        preprocessing=read_preprocessing(folder, fixed_size(vit), vit.channels),
        class_names=_class_names(config, head, vit.num_classes),
        is_ignored=_is_ignored(row, place, head, vision is not config, vit),
        interpolation=row.interpolation,
        antialias=row.antialias,
    )


def _radio(
    folder: Path, config: dict[str, Any], arrays: Arrays, place: Place, vit: ViTConfig
) -> Checkpoint:
    """Describe a RADIO: positions for the largest image, normalization by the model."""
    row = MODEL_TYPES["radio"]
    if f"{place.block(0)}{place.naming.scales[0]}" not in arrays:
        vit = replace(vit, layer_scale=None)
    size = _pair(config.get("image_size") or row.defaults["image_size"])
    preprocessing = read_preprocessing(folder, size, vit.channels)
    if preprocessing is not None:
        preprocessing = normalized_again(
            preprocessing,
            config.get("norm_mean") or OPENAI_MEAN,
            config.get("norm_std") or OPENAI_STD,
        )
    return Checkpoint(
        source=str(folder),
        config=vit,
        arrays=arrays,
        entries=lambda config: huggingface_entries(config, place),
        preprocessing=preprocessing,
        is_ignored=_is_ignored(row, place, "none", False, vit),
        interpolation=row.interpolation,
        antialias=row.antialias,
        is_cropped=True,
        image_size=size,
    )


def tower_type(config: dict[str, Any]) -> str:
    """Return the model type of the tower that a `config.json` describes.

    Raises:
        ValueError: if it is none that keras_vit builds.
    """
    model_type = config["model_type"]
    tower = NESTED.get(model_type, model_type)
    if tower in MODEL_TYPES:
        return tower
    for reason, types in _NOT_PLAIN.items():
        if model_type in types:
            raise ValueError(
                f"model_type={model_type!r} is not a plain ViT: it {reason}. keras_vit "
                f"builds {list(SUPPORTED)}."
            )
    raise ValueError(
        f"model_type must be one of {list(SUPPORTED)}, received model_type="
        f"{model_type!r}. Load it with transformers."
    )


def vision_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a `config.json` that describes the tower."""
    if config["model_type"] not in NESTED:
        return config
    nested = config.get("vision_config") or {}
    if not isinstance(nested, dict):
        raise ValueError(
            "vision_config must be a JSON object, received vision_config="
            f"{nested!r}. Check config.json."
        )
    return nested


def config_from_huggingface(config: dict[str, Any], head: Head = "none") -> ViTConfig:
    """Return the config of a tower with a head.

    Args:
        config: a `config.json`.
        head: what is on the tower, which the arrays tell.

    Raises:
        ValueError: if a key has a value that keras_vit cannot express.
    """
    row = MODEL_TYPES[tower_type(config)]
    given = vision_config(config)
    given = {k: v for k, v in given.items() if k in row.defaults and v is not None}
    values = {**row.defaults, **given}
    fields = {FIELDS[key]: value for key, value in values.items() if key in FIELDS}
    fields["activation"] = _activation(fields["activation"])
    for name in ("image_size", "patch_size"):
        fields[name] = _pair(fields.get(name, 0))
    fields["num_classes"] = None
    fields.update(row.options)
    fields.update(row.read(values))
    fields.update(row.heads[head].options)
    fields.update(_head_sizes(config, head, fields["hidden_dim"]))
    return ViTConfig(**fields)


def fixed_size(config: ViTConfig) -> tuple[int, int]:
    """Return the image size, which transformers always has."""
    if config.image_size is None:
        raise ValueError(
            "transformers needs one image size, received image_size=None. Use "
            "keras_vit.resize(model, image_size=...) first."
        )
    return config.image_size


def _head_sizes(config: dict[str, Any], head: Head, dim: int) -> dict[str, Any]:
    vision = vision_config(config)
    if head == "pooler":
        if vision.get("pooler_act", "tanh") != "tanh":
            raise ValueError(
                "keras_vit has tanh after the pooler, received pooler_act="
                f"{vision['pooler_act']!r}. Load the model with transformers."
            )
        return {"representation_size": vision.get("pooler_output_size") or dim}
    if head == "projection":
        default = 768 if config["model_type"] == "altclip" else 512
        both = (config.get("projection_dim"), vision.get("projection_dim"))
        return {"num_classes": next((size for size in both if size), default)}
    if head == "none":
        return {}
    # transformers leaves the labels out if there are two.
    labels = config.get("id2label") or range(config.get("num_labels") or 2)
    return {"num_classes": len(labels)}


def _activation(name: Any) -> str:
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(
            f"hidden_act must be one of {list(ACTIVATIONS)}, received hidden_act="
            f"{name!r}. Load the model with transformers."
        )
    return ACTIVATIONS[name]


def _pair(size: Any) -> Any:
    return tuple(size) if isinstance(size, (list, tuple)) else (size, size)


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


def _class_names(
    config: dict[str, Any], head: Head, num_classes: int | None
) -> tuple[str, ...] | None:
    labels = config.get("id2label")
    if not isinstance(labels, dict) or head not in ("classifier", "teacher"):
        return None
    found = [labels.get(str(i), labels.get(i)) for i in range(num_classes or 0)]
    if None in found or all(n == f"LABEL_{i}" for i, n in enumerate(found)):
        return None
    return tuple(str(name) for name in found)
