"""The model against timm."""

from __future__ import annotations

import numpy as np
import pytest

from keras_vit import ViT
from tests import peers
from tests.contract import example
from tests.tiny_model import call

# Parity with timm

# Options of timm, and those of keras_vit that make the same model.
PARITY = {
    "Ti/16": ({}, {}),
    "image that is not square": ({"img_size": (96, 64)}, {"image_size": (96, 64)}),
    "dropped border": ({"img_size": (75, 57)}, {"image_size": (75, 57)}),
    "class token but mean": (
        {"img_size": 64, "global_pool": "avg", "fc_norm": False},
        {"image_size": 64, "pooling": "mean", "use_class_token": True},
    ),
    "mean": (
        {"img_size": 64, "global_pool": "avg", "fc_norm": False, "class_token": False},
        {"image_size": 64, "pooling": "mean"},
    ),
    "no head": (
        {"img_size": 64, "num_classes": 0},
        {"image_size": 64, "num_classes": None},
    ),
    "all tokens": (
        {"img_size": 64, "num_classes": 0, "global_pool": ""},
        {
            "image_size": 64,
            "num_classes": None,
            "pooling": None,
            "use_class_token": True,
        },
    ),
    "grey": ({"img_size": 64, "in_chans": 1}, {"image_size": 64, "channels": 1}),
    "patches that are not square": (
        {"img_size": 64, "patch_size": (8, 16)},
        {"image_size": 64, "patch_size": (8, 16)},
    ),
    "tanh GELU": (
        {"img_size": 64, "act_layer": "gelu_tanh"},
        {"image_size": 64, "activation": "gelu_tanh"},
    ),
    "quick GELU": (
        {"img_size": 64, "act_layer": "quick_gelu"},
        {"image_size": 64, "activation": "quick_gelu"},
    ),
}


# timm and torch.jit warn of their own deprecations at import.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", PARITY)
def test_outputs_equal_those_of_timm(case):
    theirs, ours = PARITY[case]
    if case != "Ti/16":  # Two blocks show the same in less time.
        theirs, ours = {"depth": 2, **theirs}, {"num_layers": 2, **ours}
    reference = peers.timm_model(**{"num_classes": 10, **theirs})
    model = ViT.from_variant("Ti/16", **{"num_classes": 10, **ours})
    peers.set_weights(model, peers.timm_weights(reference))
    images = example((2, *model.input_shape[1:]))
    expected = peers.timm_call(reference, images)
    np.testing.assert_allclose(call(model, images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_representation_is_a_tanh_layer_on_what_timm_pools():
    reference = peers.timm_model(num_classes=0, img_size=64, depth=2)
    model = ViT.from_variant(
        "Ti/16", image_size=64, num_layers=2, num_classes=10, representation_size=16
    )
    kernel, bias = example((192, 16)) / 10, example((16,), seed=2)
    head, head_bias = example((16, 10), seed=3), example((10,), seed=4)
    layers = {
        "head/representation/kernel": kernel,
        "head/representation/bias": bias,
        "head/logits/kernel": head,
        "head/logits/bias": head_bias,
    }
    peers.set_weights(model, {**peers.timm_weights(reference), **layers})
    images = example((2, 64, 64, 3))
    pooled = peers.timm_call(reference, images)
    expected = np.tanh(pooled @ kernel + bias) @ head + head_bias
    np.testing.assert_allclose(call(model, images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_stochastic_depth_rates_equal_those_of_timm():
    reference = peers.timm_model(drop_path_rate=0.2, img_size=64, depth=4)
    model = ViT.from_variant("test", num_layers=4, stochastic_depth_rate=0.2)
    theirs = [getattr(block.drop_path1, "drop_prob", 0) for block in reference.blocks]
    ours = [model.get_layer(f"block_{i}").stochastic_depth_rate for i in range(4)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
