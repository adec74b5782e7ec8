"""Attention, rollout, Chefer's rules and Grad-CAM against timm's own attention.

The sweep over all architectures is benchmarks/explain_timm.py.
"""

from __future__ import annotations

import keras
import pytest

import keras_vit
from keras_vit.checkpoints.timm.config import timm_table
from tests.peers import shrink, timm_model, write_timm
from tests.timm_attention import relative_errors

# One of each pooling and each kind of block.
TIMM = {
    "vit_tiny_patch16_224": ("attention", "rollout", "relevance", "grad_cam"),
    "deit_tiny_distilled_patch16_224": (
        "attention",
        "rollout",
        "relevance",
        "grad_cam",
    ),
    "vit_so400m_patch14_siglip_224": ("attention", "rollout", "relevance", "grad_cam"),
    "vit_wee_patch16_reg1_gap_256": ("attention", "rollout", "relevance", "grad_cam"),
    "vit_dpwee_patch16_reg1_gap_256": ("attention", "relevance", "grad_cam"),
    "vit_small_patch16_18x2_224": ("attention", "rollout", "relevance", "grad_cam"),
    "eva02_enormous_patch14_clip_224": (
        *("attention", "rollout", "relevance", "grad_cam"),
    ),
    "vit_small_patch16_rope_mixed_ape_224": (
        *("attention", "rollout", "relevance", "grad_cam"),
    ),
}


# Gradients are each backend's own: the others than timm's take some of these.
SOME = [*TIMM][:3] if keras.backend.backend() != "torch" else [*TIMM]


@pytest.mark.parametrize("name", SOME)
def test_maps_equal_those_of_timms_attention(name, tmp_path):
    theirs = timm_model(name, **shrink(timm_table()[name]))
    write_timm(theirs, tmp_path)
    errors = relative_errors(keras_vit.load(tmp_path), theirs)
    assert tuple(errors) == TIMM[name]
    assert max(errors["attention"], errors.get("rollout", 0)) < 1e-5
    assert max(errors.values()) < 1e-4
