"""Processors of transformers, as preprocessing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit.checkpoints.huggingface.preprocessing import (
    huggingface_preprocessing,
    preprocessing_from_huggingface,
    processor_size,
    read_preprocessing,
)
from tests import transformers_peers as peers
from tests.checkpoints.huggingface.test_open import plain, written
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


SIZES: dict[str, Callable[[Any], Any]] = {
    "dinov2": lambda t: t.BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 24, "width": 24}
    ),
    "one number": lambda t: t.ViTImageProcessor(size=24),
    "no resizing": lambda t: t.ViTImageProcessor(do_resize=False),
    "crop after no resizing": lambda t: t.CLIPImageProcessor(
        do_resize=False, crop_size={"height": 24, "width": 24}
    ),
    "shorter side, no crop": lambda t: t.CLIPImageProcessor(
        size={"shortest_edge": 24}, do_center_crop=False
    ),
}


@pytest.mark.parametrize("name", [*PROCESSORS, *SIZES])
def test_size_of_a_processor_is_that_of_its_pictures(name: str, tmp_path: Path) -> None:
    make = SIZES[name] if name in SIZES else PROCESSORS[name][0]
    processor = make(peers.import_transformers())
    processor.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "preprocessor_config.json").read_text())
    pictures = [np.zeros((h, w, 3), "uint8") for h, w in ((40, 60), (90, 50))]
    shapes = {
        processor(picture, return_tensors="np")["pixel_values"].shape[2:]
        for picture in pictures
    }
    found = processor_size(values)
    assert {found} == shapes if len(shapes) == 1 else found is None
    own = read_preprocessing(tmp_path, None, 3)
    assert (own.image_size if own else None) == found


@pytest.mark.parametrize(("cut", "resized"), [(16, 20), (24, 29), (16, 16)])
def test_model_at_the_size_of_its_own_preprocessing(
    tmp_path: Path, cut: int, resized: int
) -> None:
    transformers = peers.import_transformers()
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        image_size=40, patch_size=8, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    theirs = transformers.Dinov2Model(config).eval()
    theirs.save_pretrained(tmp_path)
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": resized}, crop_size={"height": cut, "width": cut}
    )
    processor.save_pretrained(tmp_path)
    assert keras_vit.load(tmp_path).input_shape == (None, 40, 40, 3)
    model = keras_vit.load(tmp_path, image_size="preprocessing")
    assert model.input_shape == (None, cut, cut, 3)
    assert model.preprocessing.resized_size == (resized, resized)
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), "uint8")
    values = model.preprocessing(picture)
    with torch.no_grad():
        pixels = torch.from_numpy(values).movedim(-1, 0)[None]
        wanted = theirs(pixels).last_hidden_state[:, 0].numpy()
    found = model.predict_on_batch(values[None])
    np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, atol=2e-5)
    with_size = keras_vit.load(tmp_path, image_size=32)
    assert with_size.preprocessing.image_size == (32, 32)
    # For images of any size, that size is the one to train with.
    any_size = keras_vit.load(tmp_path, image_size=None)
    assert any_size.preprocessing.image_size == (40, 40)


def test_own_size_without_preprocessing_is_that_of_the_model(tmp_path: Path) -> None:
    written(CASES["vit pooler"], tmp_path)
    model = keras_vit.load(tmp_path, image_size="preprocessing")
    assert model.input_shape == keras_vit.load(tmp_path).input_shape
    again = keras_vit.load(
        "vit_tiny_patch16_224", pretrained=False, image_size="preprocessing",
        num_layers=1,
    )  # fmt: skip
    assert again.input_shape[1:3] == (224, 224)
    again.save(tmp_path / "own.keras")
    own = keras_vit.load(tmp_path / "own.keras", image_size="preprocessing")
    assert own.input_shape == again.input_shape
