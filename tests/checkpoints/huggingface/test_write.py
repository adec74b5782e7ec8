"""Which type of transformers expresses a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import keras_vit
from keras_vit.checkpoints.huggingface.write import (
    huggingface_arrays,
    huggingface_model,
)
from keras_vit.config import ViTConfig
from tests.contract import set_random_weights

TINY: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 8,
    "hidden_dim": 32,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 48,
    "num_classes": 5,
}


@pytest.mark.parametrize(
    ("options", "model_type"),
    [
        ({}, "vit"),
        ({"representation_size": 8, "num_classes": None}, "vit"),
        ({"layer_scale": 1e-5, "pooling": "token_mean", "mlp_dim": 128}, "dinov2"),
        (
            {"layer_scale": 0.1, "mlp": "gated", "activation": "silu", "mlp_dim": 88}
            | {"num_classes": None},
            "dinov2",
        ),
        ({"pooling": "mean"}, "ijepa"),
        ({"use_distillation_token": True}, "deit"),
        ({"pooling": "attention", "num_classes": None}, "siglip_vision_model"),
        (
            {"use_pre_norm": True, "use_patch_bias": False, "use_head_bias": False},
            "clip_vision_model",
        ),
    ],
)
def test_type_that_expresses_a_model_is_found(
    options: dict[str, Any], model_type: str
) -> None:
    config = ViTConfig(**{**TINY, **options})
    found = huggingface_model(config)
    assert found.model_type == model_type
    model = keras_vit.ViT(**{**TINY, **options})
    set_random_weights(model)
    assert len(huggingface_arrays(model)) > 20


@pytest.mark.parametrize(
    ("options", "model_type", "message"),
    [
        ({"block": "parallel"}, None, "cannot express .*block='parallel'"),
        ({"query_key_norm": "head"}, "vit", "query_key_norm='head'"),
        ({"image_size": (16, 24)}, "dinov2", r"image_size=\(16, 24\)"),
        ({"classifier_activation": "softmax"}, None, "classifier_activation='softmax'"),
        ({}, "dinov3_vit", "num_classes=5"),
        ({"representation_size": 8}, "vit", "representation_size=8"),
        ({"activation": "tanh"}, None, "hidden_act"),
        ({}, "bert", "model_type must be one of"),
        (
            {"image_size": None, "position_grid": (2, 2)},
            "vit",
            "needs one image size",
        ),
    ],
)
def test_what_transformers_lacks_is_named(
    options: dict[str, Any], model_type: str | None, message: str
) -> None:
    config = ViTConfig(**{**TINY, **options})
    with pytest.raises(ValueError, match=message):
        huggingface_model(config, model_type)


def test_rates_of_training_do_not_stand_against_writing() -> None:
    rates = {"dropout_rate": 0.1, "stochastic_depth_rate": 0.2}
    config = ViTConfig(**TINY, **rates, stochastic_depth_curve="constant")
    assert huggingface_model(config).config["hidden_dropout_prob"] == 0.1
    assert huggingface_model(replace(config, pooling="mean")).model_type == "ijepa"
