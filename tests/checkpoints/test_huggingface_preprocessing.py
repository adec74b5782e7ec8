"""Processors of transformers, as preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.huggingface_preprocessing import (
    huggingface_preprocessing,
    preprocessing_from_huggingface,
    read_preprocessing,
)
from tests import transformers_peers as peers
from tests.checkpoints.test_huggingface import plain, written
from tests.transformers_peers import CASES

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PROCESSORS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "vit": (
        lambda t: t.ViTImageProcessor(size={"height": 32, "width": 24}, **HALF),
        {"resize": "squash", "interpolation": "bilinear", "crop_ratio": 1.0},
    ),
    "deit": (
        lambda t: t.DeiTImageProcessor(
            size={"height": 37, "width": 37},
            crop_size={"height": 32, "width": 24},
            **IMAGENET,
        ),
        {"resize": "squash", "interpolation": "bicubic", "std": (0.229, 0.224, 0.225)},
    ),
    "clip": (
        lambda t: t.CLIPImageProcessor(
            size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
        ),
        {"resize": "crop", "transparency": "white", "crop_rounding": "down"},
    ),
    "dinov3": (
        lambda t: t.DINOv3ViTImageProcessor(size={"height": 32, "width": 24}),
        {"resize": "squash", "resize_dtype": "float32"},
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_image_processor_comes_along(name: str, tmp_path: Path) -> None:
    make, expected = PROCESSORS[name]
    processor = make(peers.import_transformers())
    processor.save_pretrained(tmp_path)
    size = (32, 32) if name == "clip" else (32, 24)
    found = read_preprocessing(tmp_path, size, 3)
    assert found is not None and found.image_size == size
    assert {key: getattr(found, key) for key in expected} == expected
    if name == "clip":
        assert found.resized_size == (36, 36)
    if name == "deit":
        assert found.resized_size == (37, 37)
    again = huggingface_preprocessing(found)
    assert preprocessing_from_huggingface(again, size, 3) == found
    # And what is written is what transformers writes.
    original = processor.to_dict()
    for key in ("size", "resample", "image_mean", "image_std", "do_rescale"):
        assert again[key] == plain(getattr(original[key], "value", original[key]))


def test_preprocessing_reaches_the_model(tmp_path: Path) -> None:
    transformers = peers.import_transformers()
    written(CASES["vit pooler"], tmp_path)
    assert keras_vit.load(tmp_path).preprocessing is None
    transformers.ViTImageProcessor(do_rescale=False).save_pretrained(tmp_path)
    model = keras_vit.load(tmp_path)
    assert model.preprocessing.image_size == (24, 16)
    # Pixels from 0 to 255 less 0.5, divided by 0.5.
    pixels = np.full((24, 16, 3), 255, "uint8")
    np.testing.assert_allclose(model.preprocessing(pixels), (255 - 0.5) / 0.5)


def test_preprocessing_without_a_processor_is_named() -> None:
    border = keras_vit.Preprocessing(image_size=16, resize="border")
    with pytest.raises(ValueError, match="no image processor"):
        huggingface_preprocessing(border)
    wide = keras_vit.Preprocessing(image_size=(16, 24))
    with pytest.raises(ValueError, match="resizes the shorter side"):
        huggingface_preprocessing(wide)


def test_broken_processor_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_preprocessing(tmp_path, (16, 16), 3)
    with pytest.raises(ValueError, match="resample must be one of"):
        preprocessing_from_huggingface({**HALF, "resample": 9}, (16, 16), 3)
