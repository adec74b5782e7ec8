"""Small models whose graph takes images of any size."""

from __future__ import annotations

from typing import Any

import numpy as np

import keras_vit
from tests.contract import set_random_weights, to_numpy

SIZES = [(48, 24), (17, 30)]
FEW = ["paper", "registers", "sincos", "mixed"]
# Each kind of positions, tokens, attention, block and pooling.
KINDS: dict[str, dict[str, Any]] = {
    "paper": {},
    "mean": {"pooling": "mean", "final_norm": "after_pooling"},
    "attention": {"pooling": "attention", "positions": "patches"},
    "registers": {"num_registers": 2, "positions": "class"},
    "distilled": {"use_distillation_token": True},
    "all tokens": {"pooling": None, "num_classes": None, "use_class_token": True},
    "no positions": {"positions": None},
    "sincos": {"positions": "sincos", "pooling": "mean"},
    "axial": {"rotary": "axial", "rotary_grid": (4, 4), "rotary_order": "xy"},
    "centred": {"rotary": "centred", "positions": None, "num_registers": 2},
    "mixed": {"rotary": "mixed"},
    "grouped": {"num_kv_heads": 1, "mlp": "gated", "normalization": "rms"},
    "differential": {"attention": "differential"},
    "post_norm": {"block": "post_norm"},
    "parallel": {"block": "parallel"},
    "twin": {"block": "twin"},
}


def tiny(**options: Any) -> keras_vit.ViT:
    model = keras_vit.ViT.from_variant("test", **{"num_classes": 5, **options})
    set_random_weights(model)
    return model


def close(ours: Any, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(to_numpy(ours), theirs, atol=2e-5 * abs(theirs).max())
