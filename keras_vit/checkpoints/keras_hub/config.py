"""From the configuration of a KerasHub class to a `ViTConfig`.

Reference: keras-hub 0.32, keras_hub/src/models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_vit.config import ViTConfig

Options = dict[str, Any]

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_approximate": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def keras_hub_config(class_name: str, config: Options, channels: int) -> ViTConfig:
    """Return the config of a backbone or vision encoder, which returns what it returns.

    Args:
        class_name: of the KerasHub class.
        config: its configuration.
        channels: that the patch kernel has. They tell how the image shape is written,
            which the configuration does not.

    Raises:
        KeyError: if something is missing.
        ValueError: if the class or an option is none that keras_vit builds.
    """
    if class_name not in _CLASSES:
        raise ValueError(
            f"{class_name!r} is not a plain ViT, or none that keras_vit knows. The "
            f"KerasHub classes that it reads are {sorted(_CLASSES)} and the models "
            "that hold one of these encoders."
        )
    options = _CLASSES[class_name](config)
    return ViTConfig(**{**_shared(config, channels), **options})


def classifier_options(class_name: str, task: Options, backbone: Options) -> Options:
    """Return what a KerasHub classifier adds to the options of its backbone.

    Raises:
        KeyError: if something is missing.
        ValueError: if the task or an option is none that keras_vit builds.
    """
    if class_name not in _CLASSIFIERS:
        raise ValueError(
            f"keras_vit does not know the KerasHub task {class_name!r}, only "
            f"{sorted(_CLASSIFIERS)}. Save its backbone alone: "
            "task.backbone.save_to_preset(folder)."
        )
    pooling = {"token": "token", "gap": "mean"}.get(task["pooling"])
    if pooling is None or (pooling == "token" and not _has_class_token(backbone)):
        raise ValueError(
            "A KerasHub classifier needs pooling='gap', or 'token' with a class token, "
            f"received pooling={task['pooling']!r}."
        )
    activation = task.get("activation")
    if not (activation is None or isinstance(activation, str)):
        raise ValueError(
            f"activation must be a name, received activation={activation!r}."
        )
    return {
        "num_classes": task["num_classes"],
        "pooling": pooling,
        "pool_prefix": pooling == "mean",  # It averages all tokens.
        "representation_size": task.get("intermediate_dim"),
        "classifier_activation": None if activation == "linear" else activation,
        # One classifier on the class token: the other token has no part in it, and is
        # what is called a register here.
        **(
            {"use_distillation_token": False, "num_registers": 1, "positions": "all"}
            if class_name == "DeiTImageClassifier"
            else {}
        ),
    }


_CLASSIFIERS = {"ViTImageClassifier", "DeiTImageClassifier"}


def image_shape(shape: Any, channels: int) -> tuple[int, int]:
    """Return (height, width) of a shape with the channels first or last."""
    if shape[-1] != channels and shape[0] == channels:
        return shape[1], shape[2]
    return shape[0], shape[1]


def _shared(config: Options, channels: int) -> Options:
    size = config["patch_size"]
    return {
        "image_size": image_shape(config["image_shape"], channels),
        "patch_size": tuple(size) if isinstance(size, list) else (size, size),
        "channels": channels,
        "num_classes": None,
        "hidden_dim": config["hidden_dim"],
        "num_layers": config["num_layers"],
        "num_heads": config["num_heads"],
        "mlp_dim": config.get("intermediate_dim"),
        "pooling": None,
        "use_class_token": True,
    }


def _vit(config: Options) -> Options:
    return {
        "mlp_dim": config["mlp_dim"],
        "dropout_rate": config["dropout_rate"],
        "attention_dropout_rate": config["attention_dropout"],
        "epsilon": config["layer_norm_epsilon"],
        "use_class_token": _has_class_token(config),
        # Files of earlier versions lack the following.
        "qkv_bias": config.get("use_mha_bias", True),
        "use_output_bias": config.get("use_mha_bias", True),
        "use_mlp_bias": config.get("use_mlp_bias", True),
        "use_patch_bias": config.get("use_patch_bias", True),
    }


def _has_class_token(config: Options) -> bool:
    return config.get("use_class_token", True)


def _deit(config: Options) -> Options:
    return {
        "dropout_rate": config["dropout_rate"],
        "attention_dropout_rate": config["attention_dropout"],
        "epsilon": config["layer_norm_epsilon"],
        "use_distillation_token": True,
        "qkv_bias": config.get("use_mha_bias", True),
        "use_output_bias": config.get("use_mha_bias", True),
    }


def _dinov2(config: Options) -> Options:
    registers = config.get("num_register_tokens", 0)
    options = {
        "dropout_rate": config.get("dropout_rate", 0.0),
        "stochastic_depth_rate": config.get("drop_path_rate", 0.0),
        "layer_scale": config.get("layer_scale_init_value", 1.0),
        "num_registers": registers,
        "positions": "class" if registers else "all",
    }
    if config.get("use_swiglu_ffn", False):
        width = int(config["intermediate_dim"] * 2 / 3)
        options |= {"mlp": "gated", "activation": "silu", "mlp_dim": width + -width % 8}
    return options


def _dinov3(config: Options) -> Options:
    has_bias = tuple(
        config.get(f"use_{part}_bias", True) for part in ("query", "key", "value")
    )
    kinds = {
        (True, True, True): True,
        (False, False, False): False,
        (True, False, True): "qv",
    }
    if has_bias not in kinds:
        raise ValueError(
            "DINOV3Backbone must have biases for queries, keys and values, for none of "
            f"them, or for all but the keys, received (query, key, value)={has_bias}."
        )
    return {
        "activation": _activation(config.get("hidden_activation", "gelu")),
        "attention_dropout_rate": config.get("attention_dropout", 0.0),
        "stochastic_depth_rate": config.get("drop_path_rate", 0.0),
        "epsilon": config.get("layer_norm_eps", 1e-5),
        "layer_scale": config.get("layer_scale_init_value", 1.0),
        "num_registers": config.get("num_register_tokens", 0),
        "positions": None,
        "rotary": "centred",
        "rotary_temperature": float(config.get("rope_theta", 100.0)),
        "qkv_bias": kinds[has_bias],
        "use_output_bias": config.get("use_proj_bias", True),
        "use_mlp_bias": config.get("use_mlp_bias", True),
        "mlp": "gated" if config.get("use_gated_mlp", False) else "plain",
    }


def _siglip(config: Options) -> Options:
    epsilon = config.get("layer_norm_epsilon", 1e-6)
    if epsilon != 1e-6:  # The last norm has 1e-6 whatever the others have.
        raise ValueError(
            "SigLIPVisionEncoder must have layer_norm_epsilon=1e-6, received "
            f"layer_norm_epsilon={epsilon}."
        )
    return {
        "activation": _activation(config["intermediate_activation"]),
        "epsilon": epsilon,
        "use_class_token": False,
        "pooling": "attention",
    }


def _clip(config: Options) -> Options:
    return {
        "activation": _activation(config["intermediate_activation"]),
        "epsilon": 1e-5,
        "use_patch_bias": False,
        "use_pre_norm": True,
    }


def _metaclip_2(config: Options) -> Options:
    return {**_clip(config), "final_norm": None}


def _activation(name: Any) -> str:
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ValueError(
            f"The activation must be one of {list(_ACTIVATIONS)}, received {name!r}."
        )
    return _ACTIVATIONS[name]


_CLASSES: dict[str, Callable[[Options], Options]] = {
    "ViTBackbone": _vit,
    "DeiTBackbone": _deit,
    "DINOV2Backbone": _dinov2,
    "DINOV3Backbone": _dinov3,
    "SigLIPVisionEncoder": _siglip,
    "CLIPVisionEncoder": _clip,
    "MetaCLIP2VisionEncoder": _metaclip_2,
}
