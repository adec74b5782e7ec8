"""The kernel of a checkpoint, which goes with its model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints import resample
from keras_vit.checkpoints.resample import RADIO, Resampling
from keras_vit.config.config import RESAMPLINGS
from keras_vit.layers.positions.resampling import resample_table
from tests.any_size import close, tiny
from tests.contract import example, to_numpy
from tests.peers import import_timm, timm_call


@pytest.mark.parametrize("name", RESAMPLINGS)
def test_each_name_is_one_kernel(name):
    assert Resampling.named(name).name == name


def test_the_default_is_that_of_timm():
    assert Resampling().name == keras_vit.ViTConfig().resampling
    assert RADIO.name == "bilinear_square"


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("new", [(3, 9), (4, 5), (8, 2), (1, 1)])
@pytest.mark.parametrize("name", RESAMPLINGS)
def test_the_model_resamples_as_the_reader_does(name, new, prefix):
    table = example((1, prefix + 20, 6))
    expected = Resampling.named(name).positions(table, (4, 5), new)
    shape = (1, new[0] * 8, new[1] * 4, 3)
    found = resample_table(
        keras.ops.convert_to_tensor(table), prefix, (4, 5), (8, 4), shape, name
    )
    np.testing.assert_allclose(to_numpy(found), expected, atol=1e-5)


@pytest.mark.parametrize("name", RESAMPLINGS)
def test_a_model_of_any_size_uses_its_kernel(name, tmp_path):
    model = tiny(resampling=name, image_size=(40, 48))
    assert keras_vit.replace_head(model, 3).config.resampling == name
    free = keras_vit.resize(model, image_size=None)
    free.save(tmp_path / "free.keras")
    again: Any = keras.saving.load_model(tmp_path / "free.keras")
    for size in ((24, 40), (64, 48)):
        images = example((2, *size, 3))
        fixed = keras_vit.resize(model, image_size=size)
        expected = to_numpy(fixed(images))
        assert fixed.config.resampling == name
        for other in (free, again, keras_vit.changed(model, image_size=size)):
            close(other(images), expected)


def test_a_chosen_kernel_becomes_that_of_the_copy():
    model = tiny(resampling="bilinear_corners_square", image_size=(40, 48))
    copy = keras_vit.resize(model, image_size=24, interpolation="bicubic")
    assert copy.config.resampling == "bicubic"
    copy = keras_vit.resize(model, image_size=24, antialias=True)
    assert copy.config.resampling == "bilinear_antialias"
    assert keras_vit.resize(model, image_size=24).config == model.config.changed(
        image_size=24
    )


def dinov2(folder: Any, grid: int) -> Any:
    import_timm()  # Which makes torchvision importable.
    import torch
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=14 * grid,
        patch_size=14,
    )
    torch.manual_seed(0)
    model = Dinov2Model(config).eval()
    with torch.no_grad():
        model.embeddings.position_embeddings.normal_()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("size", [(56, 56), (84, 56), (168, 140)])
def test_dinov2_is_resized_as_its_authors_do(size, tmp_path):
    theirs = dinov2(tmp_path, 9)
    images = example((2, *size, 3))
    expected = timm_call(lambda x: theirs(x).pooler_output, images)
    model = keras_vit.load(tmp_path)
    for ours in (
        keras_vit.load(tmp_path, image_size=size),
        keras_vit.load(tmp_path, image_size=None),
        keras_vit.resize(model, image_size=size),
        keras_vit.resize(model, image_size=None),
        keras_vit.changed(model, image_size=size, dropout_rate=0.1),
    ):
        close(ours(images), expected)


def test_patches_use_the_kernel_too(tmp_path):
    model = tiny(resampling="bilinear")
    [kernel] = [w for w in model.weights if w.path == "patch_encoder/projection/kernel"]
    [found] = [
        w
        for w in keras_vit.resize(model, patch_size=4).weights
        if w.path == "patch_encoder/projection/kernel"
    ]
    expected = resample.resample_patch_kernel(
        to_numpy(kernel.value), (8, 8), (4, 4), "bilinear", False
    )
    np.testing.assert_allclose(to_numpy(found.value), expected, atol=1e-6)
