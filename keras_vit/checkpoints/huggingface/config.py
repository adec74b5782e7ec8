"""From a `config.json` of transformers to a `ViTConfig`."""

from __future__ import annotations

from typing import Any

from keras_vit.checkpoints.huggingface.keys import default_keys, read_keys
from keras_vit.checkpoints.huggingface.types import (
    MODEL_TYPES,
    NESTED,
    SUPPORTED,
    Head,
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


def tower_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of the tower, with their defaults where a `config.json` has none.

    Sizes are (height, width).
    """
    keys = dict(default_keys()[tower_type(config)])
    given = {k: v for k, v in vision_config(config).items() if v is not None}
    keys.update((key, value) for key, value in given.items() if key in keys)
    for name in {"image_size", "patch_size"} & keys.keys():
        keys[name] = _pair(keys[name])
    return keys


def config_from_huggingface(config: dict[str, Any], head: Head = "none") -> ViTConfig:
    """Return the config of a tower with a head.

    Args:
        config: a `config.json`.
        head: what is on the tower, which the arrays tell.

    Raises:
        ValueError: if a key has a value that keras_vit cannot express.
    """
    row, values = MODEL_TYPES[tower_type(config)], tower_keys(config)
    fields = read_keys(values)
    fields["activation"] = _activation(fields["activation"])
    fields["num_classes"] = None
    fields.update(row.options)
    fields.update(row.further.read(values))
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
